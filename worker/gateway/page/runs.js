// The list of runs: those in memory and those in the archive, looked at again every few seconds.

import { intents } from "./api.js";
import { ask, faultNote, textField } from "./dialogs.js";
import { arrows, field, foreign, freshId, h, say } from "./dom.js";
import { addressOf } from "./session.js";
import { moment, parse } from "./values.js";

const PAGE = 50;
const MOST = 200;

/** A list that `show(place, api)` fills, `refresh()` brings up to date, and `select(runKey)` marks. */
export class Runs {
  constructor(root, { news }) {
    this.news = news;
    this.items = new Map();
    this.wanted = PAGE;
    this.trouble = h("div");
    this.empty = h("p", { class: "empty", hidden: true });
    this.seen = [];
    this.search = h("input", { type: "search", placeholder: "model, tracking key or run key", input: () => this.#later() });
    this.hidden = h("input", { type: "checkbox", id: freshId("hidden"), change: () => this.refresh() });
    this.live = group("In memory");
    this.archived = group("Archived");
    this.more = h("button", { type: "button", hidden: true, click: () => this.#showMore() }, "Show more");
    root.replaceChildren(
      h("div", { class: "row" }, h("h2", {}, "Runs"), h("button", { type: "button", class: "main", click: () => this.create() }, "New run")),
      field("Find", this.search),
      h("div", { class: "check" }, this.hidden, h("label", { for: this.hidden.id }, "Hidden ones too")),
      this.trouble, this.empty, this.live.element, this.archived.element, this.more,
    );
    arrows(root, "a.item");
  }

  /** Look at another project, or as somebody else. */
  show(place, api) {
    this.place = place;
    this.api = api;
    this.items.clear();
    this.wanted = PAGE;
    for (const one of [this.live, this.archived]) one.list.replaceChildren();
    say(this.empty, "Looking for runs…");
    this.empty.hidden = false;
    return this.refresh();
  }

  /** Mark a run as the one that is open. */
  select(runKey) {
    this.selected = runKey;
    for (const [key, item] of this.items) mark(item.link, key === runKey);
  }

  /** Look again; what failed stands above the list, which stays. */
  async refresh() {
    const { api } = this;
    if (!api) return;
    try {
      const { runs, total } = await this.#read(api);
      if (api === this.api) this.#fill(runs, total);
    } catch (error) {
      if (api !== this.api) return;
      this.empty.hidden = true;
      this.trouble.replaceChildren(...(error.isAway ? [] : [faultNote(error)]));
    }
  }

  async #read(api) {
    const query = { sort: "-run.created", filter: this.#filter() };
    const runs = [];
    for (;;) {
      const max = Math.min(MOST, this.wanted - runs.length);
      const page = await api.get("/model-worker/runs", { ...query, first: runs.length, max });
      runs.push(...page.values);
      const isAll = page.values.length === 0 || runs.length >= Math.min(page.totalResults, this.wanted);
      if (isAll) return { runs, total: page.totalResults };
    }
  }

  #filter() {
    const text = this.search.value.trim();
    const quoted = `"*${text.replace(/["\\]/g, "\\$&")}*"`;
    const found = `[run.modelFile~=${quoted};run.trackingKey~=${quoted};run.runKey~=${quoted}]`;
    return [this.hidden.checked ? null : "run.hidden=false", text ? found : null].filter(Boolean).join(";");
  }

  #fill(runs, total) {
    this.trouble.replaceChildren();
    const focused = document.activeElement;
    const before = this.items;
    this.items = new Map(runs.map((run) => [run.runKey, update(before.get(run.runKey) ?? item(), run, this.place)]));
    for (const one of [this.live, this.archived]) {
      const mine = runs.filter((run) => run.live === (one === this.live)).map((run) => this.items.get(run.runKey).element);
      const shown = [...one.list.children];
      if (mine.length !== shown.length || mine.some((element, at) => element !== shown[at])) one.list.replaceChildren(...mine);
      say(one.count, String(mine.length));
      one.element.hidden = mine.length === 0;
    }
    // An item that moved from one list to the other keeps the focus.
    if (focused !== document.activeElement && focused.isConnected) focused.focus();
    this.select(this.selected);
    this.more.hidden = runs.length >= total;
    say(this.more, `Show more (${runs.length} of ${total})`);
    this.empty.hidden = runs.length > 0;
    say(this.empty, this.search.value ? "No run is like that." : "There are no runs yet. “New run” starts one.");
    this.seen = runs.map((run) => run.modelFile);
  }

  /** Offer model files to choose from by `choices`, which fill `input`; that can be used meanwhile. */
  async #offer(input, choices, hint) {
    let found = null;
    try {
      found = await this.api.get("/model-worker/models");
    } catch {
      // Any path can be typed; what is wrong is told when the run is started.
    }
    const files = [...new Set([...(found?.models ?? []), ...this.seen])].sort();
    choices.control.append(...files.map((file) => foreign(file, "option")));
    choices.element.hidden = files.length === 0;
    if (files.length === 1 && input.value === "") input.value = files[0];
    say(hint, offered(files.length, found));
  }

  #showMore() {
    this.wanted += PAGE;
    return this.refresh();
  }

  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), 250);
  }

  /** Start a run, as a dialog asks for it. */
  async create() {
    const hint = h("span", { role: "status" }, "Looking for models…");
    const model = textField("Model file", { hint, required: true });
    const control = h("select", { change: () => (model.input.value = control.value) }, h("option", { value: "" }, "Choose one"));
    const choices = { control, element: field("Models", control) };
    choices.element.hidden = true;
    this.#offer(model.input, choices, hint);
    const boundary = h("select", {}, ["PROJECT", "GROUP", "EPISODE", "WORLD"].map((name) => h("option", {}, name)));
    const key = textField("Scope key", { required: true, value: this.place.project, maxlength: 128 });
    const tracking = textField("Tracking key", { hint: "Optional: a name to find it by", maxlength: 128 });
    const presets = h("textarea", { rows: 3, spellcheck: "false" });
    const more = h(
      "details", {}, h("summary", {}, "Scope, tracking key and presets"), field("Scope", boundary), key.element, tracking.element,
      field("Presets", presets, 'Optional: a JSON object of globals to begin with, as in {"goal": 2500}'),
    );
    const keys = intents();
    const act = () => {
      const body = { modelFile: model.input.value.trim(), scope: { scopeBoundary: boundary.value, scopeKey: key.input.value } };
      if (tracking.input.value) body.trackingKey = tracking.input.value;
      if (presets.value.trim()) body.executionContext = { presets: presetsOf(presets.value) };
      return this.api.ask("POST", "/run", { body, key: keys(body) });
    };
    const run = await ask("New run", { body: [model.element, choices.element, more], yes: "Start", act });
    if (!run) return;
    this.news(`A run of ${run.modelFile} is in memory.`);
    location.hash = addressOf(this.place, run.runKey);
    await this.refresh();
  }
}

function offered(count, found) {
  const path = "a path below the worker's model folder, as in savings/model.py";
  if (found && count === 0) return "There is no model yet. Put a file such as counter/model.py below the worker's model folder, then open this again.";
  if (count === 0) return `Type ${path}`;
  const number = found?.truncated ? `The first ${count} models are` : count === 1 ? "One model is" : `${count} models are`;
  return `${number} offered below; or type ${path}`;
}

function presetsOf(text) {
  let value;
  try {
    value = parse(text);
  } catch (error) {
    throw new Error(`Presets: ${error.message}`, { cause: error });
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("Presets: a JSON object is needed");
  return value;
}

function group(title) {
  const count = h("span", { class: "count" });
  const heading = h("h3", { id: freshId("group") }, `${title} `, count);
  const list = h("ul");
  return { list, count, element: h("section", { hidden: true, "aria-labelledby": heading.id }, heading, list) };
}

function item() {
  const model = foreign("", "b");
  const label = foreign("", "span");
  const facts = h("small");
  const link = h("a", { class: "item", href: "#" }, model, label, facts);
  return { link, model, label, facts, element: h("li", {}, link) };
}

function update(one, run, place) {
  one.link.setAttribute("href", addressOf(place, run.runKey));
  say(one.model, run.modelFile);
  say(one.label, run.trackingKey ?? `…${run.runKey.slice(-6)}`);
  const end = run.closed ? " · closed" : run.hidden ? " · hidden" : "";
  say(one.facts, `step ${run.seq} · ${moment(run.lastOperated ?? run.created)}${end}`);
  return one;
}

function mark(link, isOpen) {
  if (isOpen) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}
