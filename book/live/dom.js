// Small pieces of a page.

/** An element with attributes (functions become event listeners) and children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== false && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null));
  return made;
}

let controls = 0;

/** A name for a control that no other element of the page has. */
const newId = () => `live-control-${++controls}`;

/** A slider with its name and its value beside it; `show` puts the value into words. */
export function slider(label, { min, max, step = 1, value, show = String, change }) {
  const id = newId();
  const output = element("output", { for: id }, show(value));
  const input = element("input", { type: "range", id, min, max, step, value, "aria-valuetext": show(value) });
  input.addEventListener("input", () => {
    output.textContent = show(Number(input.value));
    input.setAttribute("aria-valuetext", show(Number(input.value)));
    change(Number(input.value));
  });
  return element("div", { class: "live-control" }, element("label", { for: id }, label), input, output);
}

/** A list to choose one of, {value: words}. */
export function choice(label, options, value, change) {
  const id = newId();
  const list = element(
    "select",
    { id, change: () => change(list.value) },
    Object.entries(options).map(([name, words]) => element("option", { value: name, selected: name === value }, words)),
  );
  return element("div", { class: "live-control" }, element("label", { for: id }, label), list);
}

/** A box to tick. */
export function tick(label, checked, change) {
  const box = element("input", { type: "checkbox", checked, change: () => change(box.checked) });
  return element("label", { class: "live-tick" }, box, ` ${label}`);
}

/** A square canvas with a description, and a function that puts pixels on it. */
export function picture(side, description) {
  const canvas = element("canvas", { width: side, height: side, role: "img", "aria-label": description });
  const context = canvas.getContext("2d");
  return {
    canvas,
    put: (pixels) => context.putImageData(new ImageData(new Uint8ClampedArray(pixels), side, side), 0, 0),
    clear: () => context.clearRect(0, 0, side, side),
    describe: (words) => canvas.setAttribute("aria-label", words),
  };
}
