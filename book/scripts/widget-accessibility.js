// Core widgets give a slider no name and a picture no alternative text. Name each slider after its visible
// description. Name each picture after its tooltip where the notebook set one, else after the sliders beside it
// and what they stand at, e.g. "picture for cutoff c 8".
(function () {
  const words = (element) => (element ? element.textContent.trim() : "");

  function describe(root) {
    const settings = [];
    for (const handle of root.querySelectorAll("[role=slider]")) {
      const slider = handle.closest(".widget-slider");
      const name = words(slider && slider.querySelector(".widget-label")) || "slider";
      handle.setAttribute("aria-label", name);
      settings.push(`${name} ${words(slider && slider.querySelector(".widget-readout"))}`.trim());
    }
    for (const picture of root.querySelectorAll("img")) {
      const text = picture.title || (settings.length ? `picture for ${settings.join(", ")}` : "");
      if (text) picture.alt = text;
    }
  }

  function describeAll() {
    document.querySelectorAll(".cell_output .jupyter-widgets").forEach((widget) => {
      if (!widget.parentElement.closest(".jupyter-widgets")) describe(widget);
    });
  }

  window.addEventListener("load", () => {
    describeAll();
    new MutationObserver(describeAll).observe(document.body, { childList: true, characterData: true, subtree: true });
  });
})();
