// Where the style mixes come from: from the network, live, or from the recording that the build made.
// Both kinds of source have the same properties, so that the page need not know which one it has:
//
//   faces, cutoffs    what there is to choose from
//   most              the largest n
//   query(face)       the pixels of the query image
//   mix(face, c, i)   makes mix i of a face at cutoff c, keeps it in the worker, and gives its pixels
//   draw()            a new face; null where there is none

import { pixelsOf } from "./drawing.js";
import { blended, halvesToFloats, mixed, truncated } from "./latents.js";
import { packed, script } from "./parts.js";

const { manifest } = self.stylemixsegLive;

// A module that adds two vectors of four floats: it is valid where WebAssembly has SIMD, which the runtime needs.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** Why the network cannot run here, in words; null where it can. */
export function hindrance() {
  if (!manifest.live) return manifest.whyRecorded;
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(new Uint8Array(SIMD))) {
    return "This browser has no WebAssembly with SIMD, which the network needs.";
  }
  if (typeof DecompressionStream !== "function") return "This browser cannot unpack gzip, which the weights are packed with.";
  return null;
}

/**
 * The network, loaded.
 *
 * @param {(share: number) => void} progress called with the share in 0..1 that has arrived
 */
export async function liveSource(engine, progress) {
  const { layers, width, psi, bytes, faces, styles } = manifest.live;
  let sum = 0;
  const arrived = (more) => progress(Math.min(1, (sum += more) / bytes));
  const [runtime, wasm, network, latents] = await Promise.all(
    ["runtime", "wasm", "network", "latents"].map((name) => packed(name, arrived)),
  );
  progress(1);
  await engine.run("load", { parts: { runtime, wasm, network } });
  const { bytes: stored } = await engine.run("unpack", { part: latents });
  const values = halvesToFloats(stored);
  const row = (i) => values.subarray(i * width, (i + 1) * width);
  const mean = row(0); // then the faces, then the styles
  const face = (name, seed, w) => ({ name, seed, w: truncated(w, mean, psi) });
  let drawn = 0;
  return {
    live: true,
    faces: faces.map((seed, i) => face(`face ${seed}`, seed, row(1 + i))),
    cutoffs: Array.from({ length: layers + 1 }, (_, c) => c),
    most: styles,
    query: (one) => engine.run("synthesize", { ws: mixed(one.w, one.w, layers, layers), layers }),
    mix: (one, c, i) =>
      engine.run("synthesize", { ws: mixed(one.w, row(1 + faces.length + i), c, layers), layers, index: i }),
    draw() {
      const [a, b] = [0, 1].map(() => row(1 + Math.floor(Math.random() * faces.length)));
      const angle = (0.2 + 0.6 * Math.random()) * (Math.PI / 2); // not too near to either
      return face(`drawn face ${++drawn}`, null, blended(a, b, mean, angle));
    },
  };
}

/** The recording: pictures of some faces at some cutoffs, loaded face by face. */
export function recordedSource(engine) {
  const { faces, cutoffs, styles } = manifest.recorded;
  const loaded = new Map();

  async function pixels(face, name, number) {
    if (!loaded.has(face)) loaded.set(face, script(`recorded-${face.index}`));
    return pixelsOf((await loaded.get(face))[name][number]);
  }

  return {
    live: false,
    faces: faces.map((seed, index) => ({ name: `face ${seed}`, seed, index })),
    cutoffs,
    most: styles,
    query: async (face) => ({ pixels: await pixels(face, "query", 0) }),
    async mix(face, c, index) {
      const picture = await pixels(face, `c${c}`, index);
      await engine.run("keep", { index, pixels: picture });
      return { pixels: picture };
    },
    draw: () => null,
  };
}
