// Foreground rules, section 3.2 of the paper: which clusters are the object? As `stylemixseg.foreground`.
// Each rule gives a score per cluster, and which clusters are foreground.

export const CORNERS = ["top-left", "top-right", "bottom-left", "bottom-right"];

/** Python's round: a half goes to the even neighbour. */
function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Corner minority: a cluster that fills at least the share `theta` of the corners is background.
 *
 * @param {Uint8Array} labels square cluster map
 * @param {number} k number of clusters
 * @param {{b: number, theta: number, corners: string[], pooled: boolean}} settings `b` is the side of the square at a
 *   corner as a share of the map's side; `pooled` counts in all corners together, otherwise in the fullest one
 */
export function cornerMinority(labels, k, { b, theta, corners, pooled }) {
  const side = Math.sqrt(labels.length);
  const width = Math.max(1, roundHalfEven(b * side));
  const counts = corners.map((corner) => {
    const [vertical, horizontal] = corner.split("-");
    const top = vertical === "top" ? 0 : side - width;
    const left = horizontal === "left" ? 0 : side - width;
    const count = new Array(k).fill(0);
    for (let y = top; y < top + width; y++) {
      for (let x = left; x < left + width; x++) count[labels[y * side + x]]++;
    }
    return count;
  });
  const held = Array.from({ length: k }, (_, cluster) => {
    const shares = counts.map((count) => count[cluster]);
    return pooled ? shares.reduce((sum, value) => sum + value, 0) : Math.max(...shares);
  });
  const area = width * width * (pooled ? corners.length : 1);
  const limit = Math.max(1, roundHalfEven(theta * area)); // at least one pixel
  return { scores: held.map((count) => count / area), foreground: held.map((count) => count < limit) };
}

/**
 * Saliency, equation 3: a cluster whose mean saliency exceeds `theta` is foreground. The saliency map is a Gaussian.
 *
 * @param {Uint8Array} labels square cluster map
 * @param {number} k number of clusters
 * @param {{theta: number, sigma: number[], center: number[]}} settings widths and peak, each [vertical, horizontal] as
 *   shares of the map's side
 */
export function saliency(labels, k, { theta, sigma, center }) {
  const side = Math.sqrt(labels.length);
  const bell = (axis) =>
    Float64Array.from({ length: side }, (_, i) => Math.exp(-0.5 * (((i + 0.5) / side - center[axis]) / sigma[axis]) ** 2));
  const [vertical, horizontal] = [bell(0), bell(1)];
  const sums = new Float64Array(k);
  const sizes = new Uint32Array(k);
  labels.forEach((label, i) => {
    sums[label] += vertical[Math.floor(i / side)] * horizontal[i % side];
    sizes[label]++;
  });
  const scores = Array.from(sums, (sum, cluster) => sum / Math.max(1, sizes[cluster]));
  return { scores, foreground: scores.map((score) => score > theta) };
}

/** Mask of the foreground clusters: 1 inside, 0 outside. */
export function maskOf(labels, foreground) {
  return labels.map((label) => (foreground[label] ? 1 : 0));
}
