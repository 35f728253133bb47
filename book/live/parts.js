// How the parts of the build arrive: the network, the runtime, recorded mixes.
//
// From a web server they are fetched as gzip files. A page that was opened from a folder on disk may fetch nothing; there
// they come as scripts, which such a page may load, with the bytes as base64 text. A script hands over its part by
// calling stylemixsegLive.deliver(name, value).

const folder = new URL(".", document.currentScript.src);
const delivered = new Map(); // name -> function that takes the value

self.stylemixsegLive.deliver = (name, value) => delivered.get(name)?.(value);

/** Whether the page was opened from disk. */
export const fromDisk = folder.protocol === "file:";

/** Address of a file of the build. */
export const addressOf = (name) => new URL(name, folder).href;

/** A part that is only there as a script, `<name>.js`. */
export function script(name) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = addressOf(`${name}.js`);
    element.onerror = () => reject(new Error(`${name}.js could not be loaded`));
    delivered.set(name, (value) => {
      delivered.delete(name);
      element.remove();
      resolve(value);
    });
    document.head.append(element);
  });
}

/**
 * A part that is there both ways: the bytes of `<name>.gz`, or the text of `<name>.js`.
 *
 * @param {string} name
 * @param {(bytes: number) => void} arrived called with the number of bytes of each piece that arrives
 */
export async function packed(name, arrived) {
  if (fromDisk) {
    const text = await script(name);
    arrived((text.length * 3) / 4);
    return text;
  }
  const response = await fetch(addressOf(`${name}.gz`));
  if (!response.ok) throw new Error(`${name}.gz could not be loaded (${response.status})`);
  const pieces = [];
  const reader = response.body.getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    pieces.push(piece.value);
    arrived(piece.value.length);
  }
  return new Blob(pieces).arrayBuffer();
}
