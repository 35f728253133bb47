// The page "Live": a button loads the network or the recording, and the panels appear.

import { startBench } from "./bench.js";
import { element } from "./dom.js";
import { startEngine } from "./engine.js";
import { clusterPanel, facePanel, maskPanel, mixPanel, paintPanel, rulesOf } from "./panels.js";
import { hindrance, liveSource, recordedSource } from "./sources.js";

const { manifest } = self.stylemixsegLive;
const PATIENCE = 200; // ms that a slider must rest before the mixes are made anew
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** Calls a function once its calls have stopped for a moment. */
function resting(call) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), PATIENCE);
  };
}

/**
 * Fills an element with the page. What the element says of itself makes a part of it, for a chapter that teaches one step:
 * data-panels="faces mask" shows only these panels, data-compare takes the reference's mask from the start, and
 * data-recorded leaves the network aside, which keeps the download small.
 */
function mount(root) {
  const shown = root.dataset.panels?.split(" ") ?? null;
  const compare = root.dataset.compare !== undefined;
  const recordedOnly = root.dataset.recorded !== undefined;
  const why = hindrance();
  const status = element("p", { class: "live-status", role: "status", tabindex: "-1" });
  const bar = element("progress", { max: 1, value: 0, hidden: true, "aria-label": "loading" });
  const button = (words, live) =>
    element("button", { type: "button", class: "live-button live-start", click: () => start(live) }, words);
  const only = why || recordedOnly;
  const recording = button(`${only ? "Start" : "Only the recording"} (${megabytes(manifest.recorded.bytes)} per face)`, false);
  const starts = element(
    "div",
    { class: "live-starts" },
    only ? null : button(`Start the generator in this page (${megabytes(manifest.live.bytes)})`, true),
    recording,
  );
  const words = recordedOnly
    ? "The style mixes are recorded; everything after them is computed in this page."
    : why
      ? `${why} Recorded mixes stand in for it; everything after them is computed here.`
      : manifest.licence;
  const note = element("p", { class: "live-note" }, words);
  root.replaceChildren(starts, note, bar, status);
  root.dataset.state = "waiting";

  async function start(live) {
    // The button disappears. The message takes its focus, or the Tab key would begin at the top of the page again.
    status.focus({ preventScroll: true });
    starts.hidden = true;
    root.dataset.state = "loading";
    const started = performance.now();
    const engine = startEngine();
    try {
      const source = live ? await load(engine) : recordedSource(engine);
      bar.hidden = true;
      open(source, engine, started);
    } catch (error) {
      engine.stop();
      bar.hidden = true;
      starts.hidden = false;
      starts.replaceChildren(recording);
      recording.focus({ preventScroll: true });
      root.dataset.state = "failed";
      status.textContent = `The network did not start: ${error.message}. The recording may still work.`;
    }
  }

  function load(engine) {
    bar.hidden = false;
    status.textContent = "Loading the network.";
    return liveSource(engine, (share) => {
      bar.value = share;
      if (share === 1) status.textContent = "Starting the network.";
    });
  }

  function open(source, engine, started) {
    const { settings } = manifest;
    const times = { mixes: [] };
    const seconds = () => (performance.now() - started) / 1000;
    const bench = startBench(source, engine, { ...settings, rule: rulesOf(manifest)[settings.rule] }, tell);
    const mixing = mixPanel(
      source,
      manifest,
      settings,
      resting((c) => bench.setCutoff(c)),
      resting((n) => bench.set({ n })),
    );
    const clusters = clusterPanel(manifest, settings, resting(bench.set));
    const mask = maskPanel(manifest, settings.rule, bench.setRule);
    const paint = paintPanel(manifest, compare);
    const faces = facePanel(source, manifest, bench.setFace);
    const panels = { faces, mixing, clusters, mask, paint };
    for (const [name, { panel }] of Object.entries(panels)) panel.hidden = shown !== null && !shown.includes(name);
    root.append(
      element(
        "div",
        { class: shown === null ? "live-panels" : "live-panels live-part" },
        Object.values(panels).map(({ panel }) => panel),
      ),
    );
    Object.assign(root, { bench, source, times }); // for the tests and the benchmark of the page

    function tell(event, detail) {
      for (const panel of Object.values(panels)) panel[event]?.(detail);
      if (event === "query" && detail.mask) mask.mask(detail);
      if (event === "start") {
        root.dataset.state = "mixing";
        times.mixes = [];
        status.textContent = `Making ${detail.n} style mixes.`;
      } else if (event === "mix") {
        times.first ??= seconds();
        times.mixes.push(detail.seconds);
      } else if (event === "done") {
        times.done ??= seconds();
        times.clusters = detail.seconds;
        root.dataset.state = "done";
        const sum = times.mixes.reduce((total, one) => total + one, 0);
        const made = source.live && times.mixes.length ? `${times.mixes.length} mixes in ${sum.toFixed(1)} s, ` : "";
        status.textContent = `The mask is there: ${made}K-means in ${detail.seconds.toFixed(2)} s.`;
      } else if (event === "failed") {
        root.dataset.state = "failed";
        status.textContent = `It stopped: ${detail.error.message}`;
      }
    }

    bench.begin();
  }
}

document.querySelectorAll("[data-style-mix-live]").forEach(mount);
