// Intersection over union of two masks, section 4.2 of the paper. As `stylemixseg.metrics`.

/** IoU of the foreground, of the background, and their mean; 1 where both masks lack a side. */
export function iou(mask, truth) {
  const both = [0, 0];
  const either = [0, 0];
  for (let i = 0; i < mask.length; i++) {
    if (mask[i] === truth[i]) both[truth[i]]++;
    for (const side of [0, 1]) if (mask[i] === side || truth[i] === side) either[side]++;
  }
  const [background, foreground] = [0, 1].map((side) => (either[side] ? both[side] / either[side] : 1));
  return { foreground, background, mean: (foreground + background) / 2 };
}
