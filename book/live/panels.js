// What the reader sees and moves, one panel per step of the method. Each function gives {panel, ...} with what the page
// calls when something has happened.

import { choice, element, picture, slider, tick } from "./dom.js";
import { clusterPixels, overlayPixels, PALETTE } from "./drawing.js";
import { painting } from "./painting.js";
import { addressOf } from "./parts.js";
import { referenceOf } from "./references.js";
import { CORNERS } from "./rules.js";
import { iou } from "./scores.js";

const percent = (share) => `${Math.round(100 * share)} %`;
const hundredths = (value) => value.toFixed(2);

function panelOf(title, explanation, ...children) {
  return element("section", { class: "live-panel" }, element("h3", {}, title), element("p", {}, explanation), children);
}

/** Step 0: which face. */
export function facePanel(source, manifest, choose) {
  const { file, count } = manifest.thumbnails;
  const buttons = source.faces.slice(0, count).map((face, i) => {
    const button = element("button", {
      type: "button",
      class: "live-face",
      "aria-label": face.name,
      "aria-pressed": "false",
      click: () => pick(button, face),
    });
    button.style.backgroundImage = `url("${addressOf(file)}")`; // all faces side by side
    button.style.backgroundPosition = `${(100 * i) / (count - 1 || 1)}% 0`;
    button.style.backgroundSize = `${100 * count}% 100%`;
    return button;
  });
  const strip = element("div", { class: "live-faces", role: "group", "aria-label": "faces" }, buttons);
  let shown = buttons[0];
  buttons[0].setAttribute("aria-pressed", "true");

  function pick(button, face) {
    shown?.setAttribute("aria-pressed", "false");
    button?.setAttribute("aria-pressed", "true");
    shown = button;
    choose(face);
  }

  const another = source.live
    ? element("button", { type: "button", class: "live-button", click: () => pick(null, source.draw()) }, "Draw another face")
    : null;
  const origin = source.live
    ? "Each face is a latent w. A new one is drawn between two stored latents."
    : "These faces were recorded when the book was built.";
  return { panel: panelOf("Choose a face", origin, strip, another) };
}

/** Step 1: style mixes. */
export function mixPanel(source, manifest, { c, n }, setCutoff, setN) {
  const last = source.cutoffs.length - 1;
  const cutoffs = slider("cutoff c", {
    min: 0,
    max: last,
    value: Math.max(0, source.cutoffs.indexOf(c)),
    show: (i) => String(source.cutoffs[i]),
    change: (i) => setCutoff(source.cutoffs[i]),
  });
  const styles = slider("styles n", { min: 1, max: source.most, value: n, change: setN });
  const grid = element("div", { class: "live-mixes" });
  const tiles = [];
  return {
    panel: panelOf(
      "1. Mix styles",
      "Layers below c keep the face's latent; the layers from c on take a style's. A small c changes the face itself.",
      cutoffs,
      styles,
      grid,
    ),
    start(state) {
      while (tiles.length < state.n) {
        tiles.push(picture(manifest.side, `style mix ${tiles.length + 1}, not there yet`));
        grid.append(tiles.at(-1).canvas);
      }
      tiles.forEach((tile, i) => {
        tile.canvas.hidden = i >= state.n;
        tile.canvas.classList.toggle("live-old", i >= state.made);
      });
    },
    mix({ index, pixels, c: cutoff, face }) {
      tiles[index].put(pixels);
      tiles[index].canvas.classList.remove("live-old");
      tiles[index].describe(`style mix ${index + 1} of ${face.name}, cutoff ${cutoff}`);
    },
  };
}

/** Step 2: clusters. */
export function clusterPanel(manifest, { k, space }, set) {
  const map = picture(manifest.side, "cluster map, not there yet");
  const note = element("p", { class: "live-note" });
  return {
    panel: panelOf(
      "2. Cluster the pixels",
      "K-means groups the pixels by their colours in all n mixes, 3n numbers per pixel.",
      map.canvas,
      slider("clusters k", { min: 2, max: PALETTE.length, value: k, change: (value) => set({ k: value }) }),
      choice("colours", { lab: "LAB", rgb: "RGB" }, space, (value) => set({ space: value })),
      note,
    ),
    clusters({ labels, sizes, clustered }) {
      map.put(clusterPixels(labels));
      map.describe(`cluster map of ${sizes.length} clusters, from ${clustered} mixes`);
      note.textContent = `from ${clustered} ${clustered === 1 ? "mix" : "mixes"}`;
    },
  };
}

/** The rules with their first settings, each with its name. */
export function rulesOf(manifest) {
  return Object.fromEntries(Object.entries(manifest.rules).map(([name, values]) => [name, { name, ...values }]));
}

/** Step 3: the rule and its mask. */
export function maskPanel(manifest, rule, setRule) {
  const shown = picture(manifest.side, "mask on the face, not there yet");
  const settings = rulesOf(manifest);
  let current = settings[rule];
  const change = (changes) => {
    Object.assign(current, changes);
    setRule(current);
  };
  const share = { min: 0.02, max: 1, step: 0.01, show: hundredths };
  const controls = {
    saliency: element(
      "div",
      {},
      slider("threshold theta", { ...share, min: 0, value: settings.saliency.theta, change: (theta) => change({ theta }) }),
      slider("height sigma", {
        ...share,
        value: settings.saliency.sigma[0],
        change: (height) => change({ sigma: [height, current.sigma[1]] }),
      }),
      slider("width sigma", {
        ...share,
        value: settings.saliency.sigma[1],
        change: (width) => change({ sigma: [current.sigma[0], width] }),
      }),
    ),
    corner: element(
      "div",
      {},
      slider("threshold theta", { ...share, min: 0, value: settings.corner.theta, change: (theta) => change({ theta }) }),
      slider("side b", { ...share, max: 0.5, value: settings.corner.b, change: (b) => change({ b }) }),
      element(
        "fieldset",
        {},
        element("legend", {}, "corners"),
        CORNERS.map((corner) =>
          tick(corner, settings.corner.corners.includes(corner), (on) => {
            const kept = CORNERS.filter((one) => (one === corner ? on : current.corners.includes(one)));
            if (kept.length) change({ corners: kept });
          }),
        ),
        tick("count in all of them together", settings.corner.pooled, (pooled) => change({ pooled })),
      ),
    ),
  };
  const select = (name) => {
    current = settings[name];
    for (const [one, part] of Object.entries(controls)) part.hidden = one !== name;
  };
  select(rule);
  const rows = element("tbody");
  const advice = element("p", { class: "live-note" });
  const scoreHead = element("th", { scope: "col" });
  return {
    panel: panelOf(
      "3. Choose the foreground",
      "A rule scores each cluster. Saliency asks how near its pixels are to the middle; corner minority, how much of the corners it fills.",
      shown.canvas,
      choice("rule", { saliency: "saliency", corner: "corner minority" }, rule, (name) => {
        select(name);
        setRule(current);
      }),
      Object.values(controls),
      element(
        "table",
        { class: "live-table" },
        element("caption", {}, "the clusters, largest first"),
        element(
          "thead",
          {},
          element("tr", {}, ["cluster", "pixels"].map((head) => element("th", { scope: "col" }, head)), scoreHead, element("th", { scope: "col" }, "foreground")),
        ),
        rows,
      ),
      advice,
    ),
    mask({ query, mask, sizes, scores, foreground, rule: used }) {
      scoreHead.textContent = used.name === "saliency" ? "mean saliency" : "share of the corners";
      const total = mask.length;
      rows.replaceChildren(
        ...sizes.map((size, cluster) => {
          const swatch = element("span", { class: "live-swatch", "aria-hidden": "true" });
          swatch.style.background = `rgb(${PALETTE[cluster % PALETTE.length].join(" ")})`;
          const cells = [percent(size / total), hundredths(scores[cluster]), foreground[cluster] ? "yes" : "no"];
          return element(
            "tr",
            {},
            element("th", { scope: "row" }, swatch, ` ${cluster}`),
            cells.map((text) => element("td", {}, text)),
          );
        }),
      );
      const chosen = sizes.filter((size, cluster) => size && foreground[cluster]).length;
      advice.textContent =
        chosen === 0
          ? "No cluster is foreground: change the threshold, or raise k."
          : chosen === sizes.filter(Boolean).length
            ? "Every cluster is foreground: change the threshold, or lower k."
            : "";
      if (!query) return;
      shown.put(overlayPixels(query, mask));
      const inside = mask.reduce((sum, value) => sum + value, 0) / total;
      shown.describe(`the face with its mask, which covers ${percent(inside)} of the pixels`);
    },
  };
}

/**
 * Step 4: the reader's own mask, or a reference's, and the IoU with it.
 *
 * @param {object} manifest
 * @param {boolean} compare whether the reference is taken from the start
 */
export function paintPanel(manifest, compare) {
  const shown = picture(manifest.side, "painting area");
  const { canvas } = shown;
  canvas.setAttribute("tabindex", "0");
  canvas.setAttribute("role", "application");
  const help = "Arrow keys move the brush, the space bar paints, and with Shift held down the brush paints as it moves.";
  canvas.setAttribute("aria-label", `Painting area. ${help}`);
  const result = element("p", { class: "live-score", role: "status" });
  let mask = null;
  let shownFace = null;

  /** Paint what the reference says of the present face. */
  async function takeReference() {
    const face = shownFace;
    const reference = await referenceOf(face);
    if (reference && face === shownFace) brush.fill(reference);
  }

  function score() {
    if (!mask || brush.empty()) {
      result.textContent = "Paint the person to see the IoU of the mask.";
      return;
    }
    const { foreground, background, mean } = iou(mask, brush.mask);
    result.textContent = `IoU foreground ${hundredths(foreground)}, background ${hundredths(background)}, mean ${hundredths(mean)}`;
  }

  const brush = painting(shown, score);
  const button = (words, click) => element("button", { type: "button", class: "live-button", click }, words);
  const byReference = button(`Take the mask of the ${manifest.references.name}`, takeReference);
  return {
    panel: panelOf(
      "4. Paint the true mask",
      "Paint what you call the person. The IoU says how far the method's mask agrees with yours.",
      canvas,
      element(
        "div",
        {},
        choice("brush", { 1: "paints", 0: "erases" }, "1", (value) => brush.setValue(Number(value))),
        slider("brush radius", {
          min: 2,
          max: Math.round(manifest.side / 6),
          value: Math.round(manifest.side / 16),
          change: brush.setRadius,
        }),
        button("Start from the method's mask", () => mask && brush.fill(mask)),
        byReference,
        button("Clear", brush.clear),
        result,
        element("p", { class: "live-note" }, help),
      ),
    ),
    start({ face }) {
      if (face === shownFace) return;
      shownFace = face;
      byReference.hidden = !manifest.references.seeds.includes(face.seed);
      brush.clear();
      if (compare) takeReference();
    },
    query({ query }) {
      brush.setImage(query);
    },
    mask(state) {
      mask = state.mask;
      score();
    },
  };
}
