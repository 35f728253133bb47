// For readers who use the keyboard or a screen reader. A table that is wider than the page scrolls inside a box, which has
// to take the focus so that the arrow keys can scroll it; a box whose table fits must not stop the Tab key. The theme's
// arrows that unfold a part of the table of contents have no name, so they get that of the part.
(function () {
  function reachTables() {
    for (const box of document.querySelectorAll(".pst-scrollable-table-container")) {
      const scrolls = box.scrollWidth > box.clientWidth;
      if (scrolls) {
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", "table, scrolls sideways");
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
      }
    }
  }

  function nameArrows() {
    for (const arrow of document.querySelectorAll("nav details > summary")) {
      const part = arrow.closest("li").querySelector("a");
      if (part) arrow.setAttribute("aria-label", `pages of ${part.textContent.trim()}`);
    }
  }

  window.addEventListener("load", () => {
    nameArrows();
    reachTables();
  });
  window.addEventListener("resize", reachTables);
})();
