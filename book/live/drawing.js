// Masks and cluster maps as pixels that can be seen. The colours are those of the book's figures.

/** The pixels of a picture file (PNG or WebP) in base64. */
export async function pixelsOf(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none" });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

// Of the book's figures, so that people with colour-blindness can tell them apart.
export const PALETTE = self.stylemixsegLive.manifest.palette;

/** Cluster map -> pixels, one colour per cluster. */
export function clusterPixels(labels) {
  const pixels = new Uint8ClampedArray(4 * labels.length);
  labels.forEach((label, i) => pixels.set([...PALETTE[label % PALETTE.length], 255], 4 * i));
  return pixels;
}

/** A mask on its image: the background darkened and grey, an orange line along the outline. */
export function overlayPixels(image, mask) {
  const side = Math.sqrt(mask.length);
  const pixels = new Uint8ClampedArray(image);
  for (let i = 0; i < mask.length; i++) {
    const right = i % side < side - 1 && mask[i] !== mask[i + 1];
    const below = i + side < mask.length && mask[i] !== mask[i + side];
    if (right || below) pixels.set(PALETTE[1], 4 * i);
    else if (!mask[i]) {
      const grey = 0.35 * ((image[4 * i] + image[4 * i + 1] + image[4 * i + 2]) / 3);
      pixels.fill(grey, 4 * i, 4 * i + 3);
    }
  }
  return pixels;
}

/** What was painted, tinted on its image, and the cross of the brush where it stands ({x, y, radius} or null). */
export function paintedPixels(image, painted, brush) {
  const side = Math.sqrt(painted.length);
  const pixels = new Uint8ClampedArray(image);
  for (let i = 0; i < painted.length; i++) {
    if (painted[i]) PALETTE[2].forEach((value, channel) => (pixels[4 * i + channel] = 0.45 * pixels[4 * i + channel] + 0.55 * value));
  }
  if (brush) {
    const steps = 8 * brush.radius;
    for (let step = 0; step < steps; step++) {
      const x = Math.round(brush.x + brush.radius * Math.cos((2 * Math.PI * step) / steps));
      const y = Math.round(brush.y + brush.radius * Math.sin((2 * Math.PI * step) / steps));
      if (x >= 0 && x < side && y >= 0 && y < side) pixels.set([255, 255, 255], 4 * (y * side + x));
    }
  }
  return pixels;
}
