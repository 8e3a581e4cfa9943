// The variables of a run: plots of what was recorded step by step, and a table of all values as they are now.

import { foreign, h, say } from "./dom.js";
import { Plot } from "./plot.js";
import { brief, show, whole } from "./values.js";

const MOST_QUESTIONS = 40;
const FIRST_PLOTS = 12;
const WHY = {
  UNRECORDED_VARIABLE: "not recorded: bring the run into memory to read it",
  UNENCODABLE_VALUE: "has no JSON form",
  GUARD_VIOLATION: "guarded",
  RESULT_TOO_LARGE: "too large to show",
  UNKNOWN_VARIABLE: "no variable can be read under this name",
};

/** The section of one run. */
export class Variables {
  constructor(api, runKey) {
    this.api = api;
    this.runKey = runKey;
    this.types = new Map();
    this.rows = new Map();
    this.plots = new Map();
    this.unreadable = new Map();
    this.pictures = h("div", { class: "plots" });
    this.rest = h("div", { class: "plots" });
    this.more = h("details", { hidden: true }, h("summary", {}, "More plots"), this.rest);
    this.nothing = h("p", { class: "empty" }, "Reading what was recorded…");
    this.earlier = h("button", { type: "button", hidden: true }, "Plot from the beginning");
    this.body = h("tbody");
    this.others = h("tbody");
    const heads = ["Name", "Type", "Value"].map((text) => h("th", { scope: "col" }, text));
    this.element = h(
      "section", { class: "card wide", "aria-labelledby": "variables" }, h("h2", { id: "variables" }, "Variables"),
      this.nothing, this.pictures, this.more, this.earlier,
      h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Values of variables" },
        h("table", { class: "values" }, h("thead", {}, h("tr", {}, heads)), this.body, this.others)),
    );
  }

  /** Know the names and types that introspection tells. */
  know(variables) {
    for (const { name, type, readable } of variables) if (readable) this.types.set(name, type);
  }

  /** Forget what could not be read: the run is in memory now, or is not any more. */
  forget() {
    this.unreadable.clear();
  }

  /** Draw what `series` knows. */
  draw(series) {
    for (const name of series.names) {
      const lines = series.lines(name);
      const plot = this.plots.get(name);
      if (lines) (plot ?? this.#plot(name)).draw(lines);
      else if (plot) {
        plot.element.remove();
        this.plots.delete(name);
      }
    }
    this.more.hidden = this.rest.childElementCount === 0;
    this.nothing.hidden = this.plots.size > 0;
    say(this.nothing, "Nothing to plot yet. Numbers that the model records with Epicenter.record are drawn here, step by step.");
  }

  #plot(name) {
    const plot = new Plot(name);
    (this.plots.size < FIRST_PLOTS ? this.pictures : this.rest).append(plot.element);
    this.plots.set(name, plot);
    return plot;
  }

  /** Read all values as they are now, without starting a process, and show them. */
  async read(recorded) {
    for (const name of recorded) if (!this.types.has(name)) this.types.set(name, "");
    const names = [...this.types.keys()].filter((name) => !this.unreadable.has(name));
    const values = new Map();
    this.questions = 0;
    await this.#ask(names, values);
    for (const [name, type] of this.types) this.#row(name, type, values);
    // What the model records comes first; globals that it only holds, constants among them, behind that.
    for (const name of recorded) {
      const { element } = this.rows.get(name);
      if (element.parentNode !== this.body) this.body.append(element);
    }
  }

  /** Ask for many at once; where one of them is refused, ask for halves. */
  async #ask(names, values) {
    if (names.length === 0) return;
    this.questions += 1;
    if (this.questions > MOST_QUESTIONS) return;
    try {
      (await this.#values(names)).forEach((value, at) => values.set(names[at], value));
    } catch (fault) {
      if (fault.passes !== false || fault.status === 401) throw fault;
      const { names: told = [], path } = fault.information;
      const named = new Set(names.filter((name) => told.includes(name) || name === path));
      if (names.length === 1) named.add(names[0]);
      for (const name of named) this.unreadable.set(name, fault.code);
      const rest = names.filter((name) => !named.has(name));
      if (named.size > 0) return this.#ask(rest, values);
      const half = Math.ceil(rest.length / 2);
      await this.#ask(rest.slice(0, half), values);
      await this.#ask(rest.slice(half), values);
    }
  }

  /** Values by position. A name with a semicolon, which separates names, is asked for by itself. */
  async #values(names) {
    const plain = names.filter((name) => !name.includes(";"));
    if (plain.length === 0 && names.length === 1) {
      return [await this.api.get(`/run/variable/${this.runKey}/${encodeURIComponent(names[0])}`, { ritual: "NONE" })];
    }
    if (plain.length < names.length) {
      const odd = names.filter((name) => name.includes(";"));
      const found = new Map();
      for (const part of [plain, ...odd.map((name) => [name])]) await this.#ask(part, found);
      return names.map((name) => found.get(name));
    }
    const body = { include: names.join(";"), ritual: "NONE" };
    return this.api.ask("POST", `/run/variable/${this.runKey}`, { body });
  }

  #row(name, type, values) {
    let row = this.rows.get(name);
    if (!row) {
      row = { value: h("td") };
      row.element = h("tr", { "data-variable": name }, h("th", { scope: "row" }, foreign(name)), h("td", {}, foreign(type, "code")), row.value);
      this.others.append(row.element);
      this.rows.set(name, row);
    }
    const why = this.unreadable.get(name);
    const isKnown = values.has(name) && values.get(name) !== undefined;
    const text = isKnown ? show(values.get(name)) : why ? (WHY[why] ?? why) : "not read";
    if (row.text === text) return;
    row.text = text;
    row.value.replaceChildren(isKnown ? shownValue(values.get(name), text) : h("span", { class: "none" }, text));
  }
}

function shownValue(value, text) {
  if (text.length <= 120) return foreign(text, "code");
  return h("details", {}, h("summary", {}, foreign(brief(value), "code")), foreign(whole(value), "pre"));
}
