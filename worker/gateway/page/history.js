// The history of a run, newest first, and the ways back: rewind to an entry, or clone the run as it was there.

import { intents } from "./api.js";
import { ask, faultNote, textField } from "./dialogs.js";
import { arrows, foreign, h, say } from "./dom.js";
import { addressOf } from "./session.js";
import { brief, moment, show, whole } from "./values.js";

const WINDOW = 100;

/** The section of one run; `load()` reads the newest entries, `catchUp()` what came since. */
export class History {
  constructor(place, api, runKey, { done, news }) {
    Object.assign(this, { place, api, runKey, done, news });
    this.rows = new Map();
    this.head = 0;
    this.first = 0;
    this.body = h("tbody");
    this.older = h("button", { type: "button", hidden: true, click: () => this.#showOlder() }, "Show older entries");
    this.note = h("p", { class: "empty" }, "Reading the history…");
    const heads = ["Step", "When and who", "Action", "Outcome", "Go back"].map((text) => h("th", { scope: "col" }, text));
    const table = h("table", { class: "history" }, h("thead", {}, h("tr", {}, heads)), this.body);
    arrows(table, "button[data-column]");
    this.element = h(
      "section", { class: "card wide", "aria-labelledby": "history" }, h("h2", { id: "history" }, "History"), this.note,
      h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Entries of the history" }, table), this.older,
    );
  }

  /** Read the window anew: its end, and what a rewind marked in it. `head`: where the history ends. */
  async load(head) {
    if (this.first === 0) this.first = Math.max(1, head - WINDOW + 1);
    const entries = await this.#read(this.first - 1);
    for (const seq of [...this.rows.keys()]) if (!entries.some((entry) => entry.seq === seq)) this.#drop(seq);
    entries.forEach((entry) => this.#put(entry));
    this.#finish();
  }

  /** Read what came behind the newest entry that is shown. A rewind says more of those before it: all is read anew. */
  async catchUp() {
    const before = this.head;
    const entries = await this.#read(before);
    if (this.head < before || entries.some((entry) => entry.kind === "rewind")) return this.load(this.head);
    entries.forEach((entry) => this.#put(entry));
    this.#finish();
  }

  async #read(after) {
    const found = [];
    for (;;) {
      const page = await this.api.get(`/model-worker/history/${this.runKey}`, { afterSeq: found.at(-1)?.seq ?? after });
      found.push(...page.entries);
      this.head = page.headSeq;
      if (page.entries.length === 0 || found.at(-1).seq >= page.headSeq) return found;
    }
  }

  async #showOlder() {
    this.first = Math.max(1, this.first - WINDOW);
    this.older.disabled = true;
    try {
      await this.load(this.head);
    } catch (error) {
      this.note.replaceChildren(faultNote(error));
      this.note.hidden = false;
    } finally {
      this.older.disabled = false;
    }
  }

  #drop(seq) {
    this.rows.get(seq).element.remove();
    this.rows.delete(seq);
  }

  #put(entry) {
    const before = this.rows.get(entry.seq);
    if (before?.text === show(entry)) return;
    const row = this.#row(entry);
    this.rows.set(entry.seq, { text: show(entry), element: row, entry });
    if (before) {
      before.element.replaceWith(row);
      return;
    }
    const next = [...this.body.children].find((one) => Number(one.dataset.seq) < entry.seq);
    this.body.insertBefore(row, next ?? null);
  }

  #finish() {
    this.note.hidden = this.rows.size > 0;
    say(this.note, "Nothing is recorded of this run: it is ephemeral, or its history is not kept.");
    this.older.hidden = this.first <= 1;
    for (const { entry, element } of this.rows.values()) {
      const back = element.querySelector('[data-column="rewind"]');
      if (back) back.disabled = entry.seq >= this.head;
    }
  }

  #row(entry) {
    const { error } = entry.outcome;
    const isGone = entry.rewoundBy !== undefined;
    const kind = [isGone ? "gone" : null, error ? "failed" : null].filter(Boolean).join(" ");
    return h(
      "tr", { "data-seq": entry.seq, class: kind || null },
      h("th", { scope: "row" }, String(entry.seq)),
      h("td", {}, h("time", { datetime: entry.at }, moment(entry.at)), h("small", {}, whose(entry.actor))),
      h("td", {}, actionOf(entry), isGone ? h("small", {}, `taken back at step ${entry.rewoundBy}`) : null),
      h("td", {}, outcomeOf(entry)),
      h("td", { class: "ways" }, isGone ? null : this.#way(entry, "rewind", "Rewind"), this.#way(entry, "clone", "Clone")),
    );
  }

  #way(entry, column, word) {
    const label = `${word} ${column === "rewind" ? "to" : "from"} step ${entry.seq}`;
    const click = () => (column === "rewind" ? this.rewind(entry.seq) : this.clone(entry.seq));
    return h("button", { type: "button", class: "quiet", "data-column": column, "aria-label": label, title: label, click }, word);
  }

  /** Take the run back to an entry, when that is confirmed. */
  async rewind(seq) {
    const keys = intents();
    const taken = this.head - seq;
    const body = h("p", {}, `${taken === 1 ? `Step ${this.head} is` : `Steps ${seq + 1} to ${this.head} are`} taken back for everybody who uses this run. `,
      "They stay in the history, marked, unless the model's context says that a rewind deletes them.");
    const act = () => this.#post("rewind", { toSeq: seq }, keys);
    const run = await ask(`Rewind to step ${seq}?`, { body: [body], yes: "Rewind", grave: true, act });
    if (!run) return;
    this.news(`The run is what it was at step ${seq}.`);
    this.done();
  }

  #post(verb, body, keys) {
    return this.api.ask("POST", `/model-worker/${verb}/${this.runKey}`, { body, key: keys(body) });
  }

  /** Copy the run as it was at an entry, and open the copy. */
  async clone(seq) {
    const keys = intents();
    const tracking = textField("Tracking key", { hint: "Optional: a name to find the copy by", maxlength: 128 });
    const named = () => (tracking.input.value ? { trackingKey: tracking.input.value } : {});
    const act = () => this.#post("clone", { atSeq: seq, ...named() }, keys);
    const body = [h("p", {}, "The copy is a run of its own; this one stays as it is."), tracking.element];
    const run = await ask(`Clone from step ${seq}`, { body, yes: "Clone", act });
    if (!run) return;
    this.news("The copy is in memory.");
    location.hash = addressOf(this.place, run.runKey);
  }
}

function whose(actor = {}) {
  const role = actor.worldRole ?? actor.groupMandate ?? actor.role;
  return [actor.userKey ?? actor.pseudonymKey ?? "nobody named", role].filter(Boolean).join(" · ");
}

function actionOf(entry) {
  if (entry.kind === "boot") return h("span", {}, "the model was loaded");
  if (entry.kind === "rewind") return h("span", {}, `rewind to step ${entry.toSeq}`);
  const hides = (part) => entry.guarded?.some((path) => path === part || path.startsWith(`${part}[`) || path.startsWith(`${part}.`));
  if (entry.kind === "set") return foreign(`${entry.name} = ${hides("value") ? "(guarded)" : brief(entry.value)}`, "code");
  const given = (entry.arguments ?? []).map((one) => brief(one, 60)).join(", ");
  return foreign(`${entry.name}(${hides("arguments") ? "(guarded)" : given})`, "code");
}

function outcomeOf(entry) {
  const { error, result } = entry.outcome;
  if (error) {
    return h("div", { class: "outcome bad" }, h("strong", {}, error.code), " ", foreign(error.message, "span"), traceOf(error));
  }
  if (result === null || result === undefined) return h("span", { class: "outcome none" }, entry.kind === "execute" ? "null" : "done");
  const text = show(result);
  if (text.length <= 120) return foreign(text, "code");
  return h("details", {}, h("summary", {}, foreign(brief(result), "code")), foreign(whole(result), "pre"));
}

function traceOf(error) {
  const { traceback } = error.information ?? {};
  return traceback ? h("details", {}, h("summary", {}, "Traceback"), foreign(traceback, "pre")) : null;
}
