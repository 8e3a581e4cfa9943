// Values over the steps of a history, from what the worker told: the recorded variables that each step changed.
//
// A step without word of a variable did not change it, so the value before it holds. What a rewind took back is
// dropped, and the rewind itself is a step with the values of the entry it went back to. Before the first word of a
// variable, and where a value was left out (too large, or behind a guard), nothing is known and nothing is drawn.

import { linesOf } from "./values.js";

export class Series {
  constructor() {
    this.steps = [];
    this.told = new Map();
  }

  /** Take the next event; whether a rewind was in it. */
  take(event) {
    if (event.kind === "rewound") {
      this.steps = this.steps.filter((seq) => seq <= event.toSeq);
      for (const [name, points] of this.told) this.told.set(name, points.filter(([seq]) => seq <= event.toSeq));
      this.steps.push(event.seq);
      return true;
    }
    const begins = event.kind === "created";
    if (event.kind !== "state" && !begins) return false;
    const seq = begins ? event.run?.seq : event.seq;
    if (seq === undefined) return false;
    this.steps.push(seq);
    for (const [name, value] of Object.entries(event.variables ?? {})) this.#note(name, seq, value);
    for (const path of [...(event.omitted ?? []), ...(event.guarded ?? [])]) {
      if (path.startsWith("variables.")) this.#note(path.slice("variables.".length), seq, undefined);
    }
    return false;
  }

  #note(name, seq, value) {
    if (!this.told.has(name)) this.told.set(name, []);
    this.told.get(name).push([seq, value]);
  }

  /** Names that were told of. */
  get names() {
    return [...this.told.keys()];
  }

  /**
   * The lines of a variable: [{label, points: [[seq, number or undefined]]}], one point per step since the first that
   * is known; null where it is no number, or no small map or list of numbers that keeps its parts.
   */
  lines(name) {
    const points = this.told.get(name) ?? [];
    const known = points.filter(([, value]) => value !== undefined && value !== null);
    if (known.length === 0) return null;
    const parts = known.map(([, value]) => linesOf(value));
    const labels = parts[0]?.map(([label]) => label);
    const alike = (part) => part?.length === labels?.length && part?.every(([label], at) => label === labels[at]);
    if (!labels || !parts.every(alike)) return null;
    const lines = labels.map((label) => ({ label, points: [] }));
    let at = 0;
    let now = null;
    for (const seq of this.steps) {
      while (at < points.length && points[at][0] <= seq) {
        now = linesOf(points[at][1] ?? null);
        at += 1;
      }
      if (at > 0) lines.forEach((line, index) => line.points.push([seq, now?.[index][1]]));
    }
    return lines;
  }
}
