// The method at work on one face: mixes arrive one by one, pixels are clustered, a rule chooses, a mask is there.
// A change of a setting repeats only the steps that depend on it.

import { cornerMinority, maskOf, saliency } from "./rules.js";

const QUICK = { restarts: 1 }; // for the cluster maps that are shown while mixes still arrive
const RULES = { saliency, corner: cornerMinority };

/**
 * @param source where mixes come from (sources.js)
 * @param engine the worker (engine.js)
 * @param {object} settings first values: c, n, k, space, rule
 * @param {(event: string, detail: object) => void} tell called with what has happened: "start", "mix", "query",
 *   "clusters", "mask", "done", "failed"
 */
export function startBench(source, engine, settings, tell) {
  const state = {
    ...settings,
    face: source.faces[0],
    query: null, // pixels of the query image
    made: 0, // mixes of this face at this cutoff that are there
    labels: null, // cluster map
    sizes: [],
    scores: [],
    foreground: [],
    mask: null,
  };
  let version = 0; // of the settings: work that was begun for older ones stops
  let queue = Promise.resolve(); // one piece of work at a time

  function work(steps) {
    const mine = ++version;
    const stale = () => mine !== version;
    queue = queue.then(() => (stale() ? null : steps(stale))).catch((error) => tell("failed", { error }));
    return queue;
  }

  async function mixAndCluster(stale) {
    tell("start", state);
    while (state.made < state.n) {
      const { face, c, made } = state;
      const answer = await source.mix(face, c, made);
      if (stale()) return;
      state.made++;
      tell("mix", { ...state, index: made, ...answer });
      if (state.query === null) {
        state.query = (await source.query(face)).pixels;
        if (stale()) return;
        tell("query", state);
      }
      if (state.made < state.n && !(await cluster(state.made, QUICK, stale))) return;
    }
    const seconds = await cluster(state.n, {}, stale);
    if (seconds) tell("done", { ...state, seconds });
  }

  /** Clusters of the first n mixes; gives the seconds, or null where the settings have changed meanwhile. */
  async function cluster(n, options, stale) {
    const { k, space } = state;
    const { labels, sizes, seconds } = await engine.run("cluster", { n, k, space, options });
    if (stale()) return null;
    Object.assign(state, { labels, sizes });
    tell("clusters", { ...state, clustered: n });
    choose();
    return seconds;
  }

  function choose() {
    const { rule, labels, sizes } = state;
    Object.assign(state, RULES[rule.name](labels, sizes.length, rule));
    state.mask = maskOf(labels, state.foreground);
    tell("mask", state);
  }

  return {
    state,
    begin: () => work(mixAndCluster),
    setFace(face) {
      Object.assign(state, { face, query: null, made: 0 });
      return work(mixAndCluster);
    },
    setCutoff(c) {
      Object.assign(state, { c, made: 0 });
      return work(mixAndCluster);
    },
    /** n, k or space: the mixes stay. */
    set(changes) {
      Object.assign(state, changes);
      return work(mixAndCluster);
    },
    setRule(rule) {
      state.rule = rule;
      if (state.labels) choose();
    },
  };
}
