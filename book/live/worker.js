// What runs beside the page, in a worker, so that the page stays responsive: the network, the colours and K-means.
// The page sends {id, task, ...}; the answer has the same id. The mixes of the present face and cutoff stay here.

import { colorPlanes } from "./colors.js";
import { kmeans } from "./kmeans.js";
import { loadNetwork, unpacked } from "./network.js";

let network = null;
const mixes = []; // pixels of mix i
const planes = { lab: [], rgb: [] }; // its colours, once they were asked for

function store(index, pixels) {
  mixes[index] = pixels;
  planes.lab[index] = planes.rgb[index] = undefined;
}

const tasks = {
  async load({ parts }) {
    network = await loadNetwork(parts);
    return {};
  },

  async unpack({ part }) {
    return { bytes: (await unpacked(part)).slice().buffer };
  },

  /** A picture of the network; with an index it is kept as that mix. */
  async synthesize({ ws, layers, index }) {
    const pixels = await network(ws, layers);
    if (index !== undefined) store(index, pixels);
    return { pixels };
  },

  /** A mix that was recorded. */
  keep({ index, pixels }) {
    store(index, pixels);
    return {};
  },

  /** Clusters of the first n mixes. */
  cluster({ n, k, space, options }) {
    const columns = [];
    for (let i = 0; i < n; i++) {
      planes[space][i] ??= colorPlanes(mixes[i], space);
      const count = planes[space][i].length / 3;
      for (let channel = 0; channel < 3; channel++) {
        columns.push(planes[space][i].subarray(channel * count, (channel + 1) * count));
      }
    }
    return kmeans(columns, k, options);
  },
};

self.onmessage = async ({ data: { id, task, ...parameters } }) => {
  const started = performance.now();
  try {
    const answer = await tasks[task](parameters);
    self.postMessage({ id, answer: { ...answer, seconds: (performance.now() - started) / 1000 } });
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};
