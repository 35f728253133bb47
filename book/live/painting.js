// A canvas on which the reader paints the true mask: with a mouse, a finger, or the keyboard.

import { paintedPixels } from "./drawing.js";

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 4; // px per key

/**
 * Makes a canvas paintable.
 *
 * @param {{canvas: HTMLCanvasElement, put: function}} shown a picture of dom.js
 * @param {() => void} changed called after each stroke
 */
export function painting(shown, changed) {
  const { canvas } = shown;
  const side = canvas.width;
  const painted = new Uint8Array(side * side);
  const brush = { x: side / 2, y: side / 2, radius: Math.round(side / 16) };
  let image = new Uint8ClampedArray(4 * side * side);
  let value = 1; // 1 paints, 0 erases
  let down = false;
  let focused = false;

  const show = () => shown.put(paintedPixels(image, painted, focused ? brush : null));

  /** Paint a disc at the brush. */
  function dab() {
    const { x, y, radius } = brush;
    for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(side - 1, y + radius); row++) {
      for (let column = Math.max(0, Math.ceil(x - radius)); column <= Math.min(side - 1, x + radius); column++) {
        if ((column - x) ** 2 + (row - y) ** 2 <= radius ** 2) painted[row * side + column] = value;
      }
    }
  }

  /** Move the brush, painting along the way where it is down. */
  function moveTo(x, y) {
    const steps = Math.max(1, Math.ceil(Math.hypot(x - brush.x, y - brush.y) / (brush.radius / 2)));
    const [fromX, fromY] = [brush.x, brush.y];
    for (let step = 1; step <= steps; step++) {
      brush.x = fromX + ((x - fromX) * step) / steps;
      brush.y = fromY + ((y - fromY) * step) / steps;
      if (down) dab();
    }
    show();
  }

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * side) / box.width, ((event.clientY - box.top) * side) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    [brush.x, brush.y] = place(event);
    down = true;
    dab();
    show();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (down || event.pointerType === "mouse") moveTo(...place(event));
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      if (down) changed();
      down = false;
    });
  }
  canvas.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      down = true;
      dab();
      down = false;
    } else if (KEYS[event.key]) {
      const [dx, dy] = KEYS[event.key];
      const inside = (position) => Math.min(side - 1, Math.max(0, position));
      down = event.shiftKey; // the brush stays down while Shift is held
      moveTo(inside(brush.x + STEP * dx), inside(brush.y + STEP * dy));
      down = false;
    } else return;
    event.preventDefault();
    show();
    changed();
  });
  for (const [name, has] of [["focus", true], ["blur", false], ["pointerenter", true], ["pointerleave", false]]) {
    canvas.addEventListener(name, () => {
      focused = has || document.activeElement === canvas;
      show();
    });
  }

  return {
    mask: painted,
    empty: () => !painted.includes(1),
    setImage: (pixels) => ((image = pixels), show()),
    setValue: (one) => (value = one),
    setRadius: (radius) => ((brush.radius = radius), show()),
    fill: (mask) => (painted.set(mask), show(), changed()),
    clear: () => (painted.fill(0), show(), changed()),
  };
}
