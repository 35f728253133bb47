// The page's side of the worker: each task is a promise.

/** Starts the worker. Its source is text in the page, because a page on disk may start a worker in no other way. */
export function startEngine() {
  const address = URL.createObjectURL(new Blob([self.stylemixsegLive.workerSource], { type: "text/javascript" }));
  const worker = new Worker(address);
  const waiting = new Map();
  let number = 0;
  worker.onmessage = ({ data: { id, answer, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(answer);
    else reject(new Error(error));
  };
  worker.onerror = (event) => waiting.forEach(({ reject }) => reject(new Error(event.message)));
  return {
    run(task, parameters = {}) {
      return new Promise((resolve, reject) => {
        waiting.set(++number, { resolve, reject });
        worker.postMessage({ id: number, task, ...parameters });
      });
    },
    stop: () => worker.terminate(),
  };
}
