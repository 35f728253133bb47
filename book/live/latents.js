// Latents: vectors w that the build stored in half precision, moved, blended and put into the layers of the network.

/** IEEE 754 binary16 numbers (little-endian) as floats. */
export function halvesToFloats(buffer) {
  const view = new DataView(buffer);
  return Float32Array.from({ length: buffer.byteLength / 2 }, (_, i) => {
    const bits = view.getUint16(2 * i, true);
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

/** Truncation: w moves towards the mean latent, by psi from 0 (the mean) to 1 (w itself). */
export function truncated(w, mean, psi) {
  return w.map((value, i) => mean[i] + psi * (value - mean[i]));
}

/**
 * A face that was not stored, between two that were: their offsets from the mean, added with weights whose squares sum to
 * one. Plain averages would lie nearer to the mean than faces do, and look alike.
 */
export function blended(first, second, mean, angle) {
  const [a, b] = [Math.cos(angle), Math.sin(angle)];
  return first.map((value, i) => mean[i] + a * (value - mean[i]) + b * (second[i] - mean[i]));
}

/** Style mixing, section 3.1: the layers below the cutoff c read the face's latent, the others read the style's. */
export function mixed(face, style, cutoff, layers) {
  const ws = new Float32Array(layers * face.length);
  for (let layer = 0; layer < layers; layer++) ws.set(layer < cutoff ? face : style, layer * face.length);
  return ws;
}
