// The face generator in the page: ONNX Runtime Web runs its network on one thread of WebAssembly, inside the worker.

/** Bytes of a part of the build: gzip, as bytes or as base64 text, or bytes that the web server has unpacked already. */
export async function unpacked(part) {
  const bytes = typeof part === "string" ? Uint8Array.from(atob(part), (c) => c.charCodeAt(0)) : new Uint8Array(part);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes; // no gzip
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Load the runtime and the network.
 *
 * @param {{runtime: *, wasm: *, network: *}} parts as `unpacked` takes them
 * @returns a function from latents ws (Float32Array, layers after layers) to the pixels of a picture
 */
export async function loadNetwork(parts) {
  const [runtime, wasm, network] = await Promise.all([parts.runtime, parts.wasm, parts.network].map(unpacked));
  // The runtime is a module; as an address of its own it loads from a folder on disk too, where imports are forbidden.
  const address = URL.createObjectURL(new Blob([runtime], { type: "text/javascript" }));
  const ort = await import(address);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasm.buffer;
  const session = await ort.InferenceSession.create(network, { executionProviders: ["wasm"] });
  URL.revokeObjectURL(address);
  ort.env.wasm.wasmBinary = undefined; // 14 MB that are not needed any more
  return async (ws, layers) => {
    const latents = new ort.Tensor("float32", ws, [layers, ws.length / layers]);
    const { pixels } = await session.run({ ws: latents });
    return new Uint8ClampedArray(pixels.data); // a copy: the runtime uses its memory again
  };
}
