// The colours that are clustered: CIE LAB under D65, or RGB (section 4.6 of the paper). As `stylemixseg.colors`.

// sRGB (IEC 61966-2-1): the level of a byte -> its share of light, by a table.
const LINEAR = Float32Array.from({ length: 256 }, (_, level) => {
  const value = level / 255;
  return value > 0.04045 ? ((value + 0.055) / 1.055) ** 2.4 : value / 12.92;
});
// Light -> CIE XYZ, each row over the white point.
const WHITE = [0.95047, 1.0, 1.08883];
const XYZ = [
  [0.412453, 0.35758, 0.180423],
  [0.212671, 0.71516, 0.072169],
  [0.019334, 0.119193, 0.950227],
].map((row, i) => row.map((weight) => weight / WHITE[i]));

/** CIE's cube root with its linear foot. */
function root(value) {
  return value > 0.008856 ? Math.cbrt(value) : 7.787 * value + 16 / 116;
}

/**
 * Colours of one picture, as planes: all first channels, then all second ones, then all third ones.
 *
 * @param {Uint8Array | Uint8ClampedArray} pixels red, green, blue, alpha of each pixel, as a canvas has them
 * @param {"lab" | "rgb"} space "lab": L in 0..100, a and b about -110..110; "rgb": 0..100
 * @returns {Float32Array} three numbers per pixel
 */
export function colorPlanes(pixels, space) {
  const count = pixels.length / 4;
  const planes = new Float32Array(3 * count);
  for (let i = 0; i < count; i++) {
    if (space === "rgb") {
      for (let channel = 0; channel < 3; channel++) planes[channel * count + i] = (pixels[4 * i + channel] * 100) / 255;
      continue;
    }
    const r = LINEAR[pixels[4 * i]];
    const g = LINEAR[pixels[4 * i + 1]];
    const b = LINEAR[pixels[4 * i + 2]];
    const x = root(XYZ[0][0] * r + XYZ[0][1] * g + XYZ[0][2] * b);
    const y = root(XYZ[1][0] * r + XYZ[1][1] * g + XYZ[1][2] * b);
    const z = root(XYZ[2][0] * r + XYZ[2][1] * g + XYZ[2][2] * b);
    planes[i] = 116 * y - 16;
    planes[count + i] = 500 * (x - y);
    planes[2 * count + i] = 200 * (y - z);
  }
  return planes;
}
