// Masks of the faces with buttons by a second opinion: the book's face parser, or the toy world's own knowledge.

import { pixelsOf } from "./drawing.js";
import { script } from "./parts.js";

const { references } = self.stylemixsegLive.manifest;
let loading = null;

/** The mask of a face, 1 inside and 0 outside; null where it has none, as a face that was drawn in the page. */
export async function referenceOf(face) {
  const index = references.seeds.indexOf(face.seed);
  if (index < 0) return null;
  loading ??= script("references");
  const pixels = await pixelsOf((await loading)[index]);
  return Uint8Array.from({ length: pixels.length / 4 }, (_, i) => (pixels[4 * i] > 127 ? 1 : 0));
}
