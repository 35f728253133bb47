// K-means over pixels, equation 2 of the paper: pixels whose 3n colours agree fall into one cluster.
// The same three steps as `stylemixseg.clustering`, with the same random choices: fit centroids on some of the pixels,
// assign all pixels, number the clusters by size.

import { permutation } from "./random.js";

const REDO_SEED = 15486557; // faiss draws the first centroids of restart r with seed + 1 + r times this

/**
 * Cluster the pixels of a style summary tensor X_s.
 *
 * @param {Float32Array[]} planes X_s by columns: 3n arrays with one number per pixel
 * @param {number} k number of clusters
 * @param {{seed?: number, restarts?: number, iterations?: number, maxPointsPerCluster?: number}} options
 * @returns {{labels: Uint8Array, sizes: number[], objective: number}} the cluster of each pixel, the largest first;
 *   `objective` is the sum of squared distances to the own centroid, over the pixels that trained the centroids
 */
export function kmeans(planes, k, { seed = 0, restarts = 10, iterations = 25, maxPointsPerCluster = 2048 } = {}) {
  const count = planes[0].length;
  const limit = Math.min(count, k * maxPointsPerCluster);
  const chosen = limit === count ? null : permutation(count, seed).subarray(0, limit);
  const points = rows(planes, chosen, limit);
  let best = { objective: Infinity };
  for (let r = 0; r < restarts; r++) {
    const starts = permutation(limit, (seed + 1 + r * REDO_SEED) >>> 0).subarray(0, k);
    const found = lloyd(points, planes.length, starts, iterations);
    if (found.objective < best.objective) best = found;
  }
  return { ...largestFirst(assign(planes, best.centroids, k), k), objective: best.objective };
}

/** Some pixels as rows of 3n numbers, one row after the other. */
function rows(planes, chosen, count) {
  const width = planes.length;
  const points = new Float32Array(count * width);
  for (let i = 0; i < count; i++) {
    const pixel = chosen ? chosen[i] : i;
    for (let j = 0; j < width; j++) points[i * width + j] = planes[j][pixel];
  }
  return points;
}

/** Lloyd's iterations from the given pixels as first centroids. */
function lloyd(points, width, starts, iterations) {
  const k = starts.length;
  const count = points.length / width;
  const centroids = new Float32Array(k * width);
  starts.forEach((start, c) => centroids.set(points.subarray(start * width, (start + 1) * width), c * width));
  const labels = new Uint8Array(count).fill(255);
  let objective = 0;
  for (let iteration = 0; iteration < iterations; iteration++) {
    const sums = new Float64Array(k * width);
    const sizes = new Uint32Array(k);
    let moved = false;
    objective = 0;
    for (let i = 0; i < count; i++) {
      let nearest = 0;
      let least = Infinity;
      for (let c = 0; c < k; c++) {
        let distance = 0;
        for (let j = 0; j < width; j++) {
          const difference = points[i * width + j] - centroids[c * width + j];
          distance += difference * difference;
        }
        if (distance < least) {
          least = distance;
          nearest = c;
        }
      }
      if (labels[i] !== nearest) {
        labels[i] = nearest;
        moved = true;
      }
      objective += least;
      sizes[nearest]++;
      for (let j = 0; j < width; j++) sums[nearest * width + j] += points[i * width + j];
    }
    if (!moved) break; // nothing would change any more
    for (let c = 0; c < k; c++) {
      if (sizes[c] === 0) continue; // a cluster without pixels keeps its centroid
      for (let j = 0; j < width; j++) centroids[c * width + j] = sums[c * width + j] / sizes[c];
    }
  }
  return { centroids, objective };
}

/** The nearest centroid of every pixel; plane by plane, since X_s lies so in memory. */
function assign(planes, centroids, k) {
  const count = planes[0].length;
  const labels = new Uint8Array(count);
  const least = new Float32Array(count).fill(Infinity);
  const distance = new Float32Array(count);
  for (let c = 0; c < k; c++) {
    distance.fill(0);
    planes.forEach((plane, j) => {
      const center = centroids[c * planes.length + j];
      for (let i = 0; i < count; i++) {
        const difference = plane[i] - center;
        distance[i] += difference * difference;
      }
    });
    for (let i = 0; i < count; i++) {
      if (distance[i] < least[i]) {
        least[i] = distance[i];
        labels[i] = c;
      }
    }
  }
  return labels;
}

/** Number the clusters by size, because K-means numbers them by chance. */
export function largestFirst(labels, k) {
  const sizes = new Array(k).fill(0);
  for (const label of labels) sizes[label]++;
  const order = sizes.map((_, c) => c).sort((a, b) => sizes[b] - sizes[a] || a - b);
  const rank = new Uint8Array(k);
  order.forEach((c, place) => (rank[c] = place));
  return { labels: labels.map((label) => rank[label]), sizes: order.map((c) => sizes[c]) };
}
