// One run: what it is, its variables, operations and history, kept up to date by its stream of events.

import { Fault, intent } from "./api.js";
import { faultNote } from "./dialogs.js";
import { foreign, h, say } from "./dom.js";
import { History } from "./history.js";
import { Operations } from "./operations.js";
import { Series } from "./series.js";
import { addressOf } from "./session.js";
import { follow } from "./stream.js";
import { Variables } from "./variables.js";
import { moment, show } from "./values.js";

const LATEST_EVENTS = 500;
const BEYOND_ALL = "4611686018427387904";
const REST_MS = 150;
const AGAIN_MS = 2_000;

/** The view of a run in `root`. `onLink(open)` hears whether its stream is open, `changed()` that the list may differ. */
export class RunView {
  constructor(root, place, api, runKey, { onLink, changed, news }) {
    Object.assign(this, { root, place, api, runKey, onLink, changed, news });
    this.closing = new AbortController();
    const done = () => (this.ring(), changed());
    this.variables = new Variables(api, runKey);
    this.operations = new Operations(api, runKey, { done });
    this.history = new History(place, api, runKey, { done, news });
    this.variables.earlier.addEventListener("click", () => this.#fromTheBeginning());
    this.title = h("h1", { tabindex: -1 }, "Opening the run…");
    this.state = h("ul", { class: "chips", "aria-label": "State of the run" });
    this.move = h("button", { type: "button", hidden: true, click: () => this.#move() });
    this.facts = h("dl", { class: "facts" });
    this.trouble = h("div", { "aria-live": "assertive" });
    this.parts = h("div", { class: "parts", hidden: true }, this.operations.element, this.variables.element, this.history.element);
    root.replaceChildren(
      h("p", { class: "back" }, h("a", { href: addressOf(place) }, "← All runs")),
      h("div", { class: "row head" }, h("div", {}, this.title, this.state), this.move),
      h("details", { class: "about" }, h("summary", {}, "About this run"), this.facts), this.trouble, this.parts,
    );
    root.setAttribute("aria-busy", "true");
    this.#begin();
  }

  /** Look again, soon; several rings are one look. */
  ring() {
    this.rung = true;
    if (!this.looking && !this.closing.signal.aborted) this.#look();
  }

  /** Leave: nothing of this view asks any more. */
  close() {
    this.closing.abort();
  }

  #begin() {
    this.series = new Series();
    this.event = undefined;
    this.from = undefined;
    this.ring();
  }

  async #look() {
    this.looking = true;
    while (this.rung && !this.closing.signal.aborted) {
      this.rung = false;
      try {
        await this.#sync();
        this.trouble.replaceChildren();
      } catch (error) {
        if (this.closing.signal.aborted) break;
        this.trouble.replaceChildren(...(error.isAway ? [] : [faultNote(error)]));
        if (error.passes) setTimeout(() => this.ring(), AGAIN_MS);
      }
      if (!this.closing.signal.aborted) this.root.setAttribute("aria-busy", "false");
      await new Promise((rest) => setTimeout(rest, REST_MS));
    }
    this.looking = false;
  }

  async #sync() {
    const run = await this.api.get(`/run/${this.runKey}`, {}, this.closing.signal);
    this.#show(run);
    const { isRewound, seq } = await this.#events();
    if (isRewound || !this.history.head) await this.history.load(Math.max(run.seq, seq));
    else await this.history.catchUp();
    this.parts.hidden = false;
    await this.#introspect();
    this.variables.draw(this.series);
    await this.variables.read(this.series.names);
    this.#follow();
  }

  /** Read what was told since, or at first the latest of it; whether a rewind was in it, and the last step. */
  async #events() {
    const path = `/model-worker/events/${this.runKey}`;
    if (this.event === undefined) {
      const { headEvent } = await this.api.get(path, { afterEvent: BEYOND_ALL, limit: 1 });
      this.from ??= Math.max(0, headEvent - LATEST_EVENTS);
      this.event = this.from;
      this.variables.earlier.hidden = this.from === 0;
    }
    let isRewound = false;
    let seq = 0;
    for (;;) {
      const page = await this.api.get(path, { afterEvent: this.event });
      for (const event of page.events) {
        isRewound = this.series.take(event) || isRewound;
        seq = Math.max(seq, event.seq ?? 0);
        this.event = event.event;
      }
      if (page.events.length === 0 || this.event >= page.headEvent) return { isRewound, seq };
    }
  }

  #fromTheBeginning() {
    this.series = new Series();
    this.event = undefined;
    this.from = 0;
    this.ring();
  }

  async #introspect() {
    if (this.offered) return;
    try {
      const offer = await this.api.get(`/run/introspect/${this.runKey}`);
      this.variables.know(offer.variables);
      this.operations.show(offer);
      this.offered = true;
    } catch (error) {
      if (error instanceof Fault && error.passes) throw error;
      this.operations.fail(error);
    }
  }

  #follow() {
    if (this.following) return;
    this.following = true;
    follow(this.api, `/run/${this.runKey}/channel`, String(this.event), {
      signal: this.closing.signal,
      onLink: (isOpen) => this.onLink(isOpen),
      onId: (id) => Number(id) > this.event && (this.ring(), this.changed()),
      onEnd: (fault) => this.trouble.replaceChildren(faultNote(fault)),
    });
  }

  #show(run) {
    if (this.run && this.run.live !== run.live) this.variables.forget();
    this.run = run;
    say(this.title, run.modelFile);
    document.title = `${run.modelFile} · model-worker`;
    const chips = [[run.live ? "in memory" : "archived", run.live ? "live" : ""], [`step ${run.seq}`, ""]];
    for (const name of ["closed", "hidden", "marked", "ephemeral", "perpetual"]) if (run[name]) chips.push([name, name]);
    this.state.replaceChildren(...chips.map(([text, kind]) => h("li", { class: `chip ${kind}` }, text)));
    say(this.move, run.live ? "Take out of memory" : "Bring into memory");
    this.move.hidden = run.closed;
    this.facts.replaceChildren(...factsOf(run, this.place));
  }

  async #move() {
    const [method, path, body] = this.run.live ? ["DELETE", `/run/${this.runKey}`] : ["POST", `/run/restore/${this.runKey}`, {}];
    this.move.disabled = true;
    try {
      await this.api.ask(method, path, { body, key: intent() });
      this.news(method === "DELETE" ? "The run is out of memory." : "The run is in memory.");
      this.ring();
      this.changed();
    } catch (error) {
      this.trouble.replaceChildren(faultNote(error));
    } finally {
      this.move.disabled = false;
    }
  }
}

function factsOf(run, place) {
  const { scope, permit } = run;
  const facts = [
    ["Run key", foreign(run.runKey, "code")],
    ["Tracking key", run.trackingKey && foreign(run.trackingKey)],
    ["Scope", foreign(`${scope.scopeBoundary} ${scope.scopeKey}${scope.userKey ? `, user ${scope.userKey}` : ""}`)],
    ["Read by", `${permit.readLock} and above`],
    ["Changed by", `${permit.writeLock} and above`],
    ["Created", moment(run.created)],
    ["Last operated", run.lastOperated && moment(run.lastOperated)],
    ["Presets", run.executionContext?.presets && foreign(show(run.executionContext.presets), "code")],
    ["Cloned from", run.clonedFrom && h("a", { href: addressOf(place, run.clonedFrom) }, run.clonedFrom)],
    ["Sandbox", run.sandbox],
  ];
  return facts.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
}
