// The page as a whole: where the address leads, who is asking, and whether the way to the worker is open.

import { Api, Fault, reach } from "./api.js";
import { ask, textField } from "./dialogs.js";
import { h, say } from "./dom.js";
import { RunView } from "./run.js";
import { Runs } from "./runs.js";
import { addressOf, apiOf, here, keepToken, token } from "./session.js";

const READY_MS = 2_000;
const PATIENCE_MS = 5_000;
const LIST_MS = 5_000;
const LINKS = {
  open: ["Connected", ""],
  waiting: ["Reconnecting…", ""],
  draining: ["Worker ending", "The worker is about to end and takes nothing new."],
  worker: ["Worker away", "The worker is away."],
  gateway: ["Gateway away", "The gateway does not answer."],
};

const part = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.news = (text) => say(part("news"), text);
    this.runs = new Runs(part("runs"), { news: this.news });
    this.link = "open";
    this.seen = new Date();
    part("skip").addEventListener("click", (event) => (event.preventDefault(), part("main").focus()));
    part("home").addEventListener("click", (event) => (event.preventDefault(), (location.hash = addressOf(here()))));
    part("who").addEventListener("click", () => this.whoAsks());
    addEventListener("hashchange", () => this.go(true));
    document.addEventListener("visibilitychange", () => document.hidden || this.check());
    setInterval(() => document.hidden || this.check(), READY_MS);
    setInterval(() => document.hidden || this.link !== "open" || this.runs.refresh(), LIST_MS);
    this.go(false);
    this.check();
  }

  /** Show what the address names. */
  go(moveFocus) {
    const place = here();
    const name = `${place.account}/${place.project}`;
    if (this.name !== name) {
      this.name = name;
      this.api = apiOf(place);
      this.runs.show(place, this.api);
      this.tellCaller();
    }
    this.view?.close();
    this.view = undefined;
    this.isStreaming = undefined;
    this.runs.select(place.runKey);
    document.body.dataset.view = place.runKey ? "run" : "runs";
    if (place.runKey) this.open(place, moveFocus);
    else this.welcome();
    this.tell();
  }

  open(place, moveFocus) {
    this.view = new RunView(part("main"), place, this.api, place.runKey, {
      onLink: (isOpen) => this.streamed(isOpen),
      changed: () => this.changed(),
      news: this.news,
    });
    if (moveFocus) this.view.title.focus();
  }

  welcome() {
    document.title = "model-worker";
    part("main").setAttribute("aria-busy", "false");
    part("main").replaceChildren(
      h("div", { class: "card welcome" }, h("h1", { tabindex: -1 }, "Choose a run, or start one"),
        h("p", {}, "A run is one life of a model file. Opened, it shows its variables step by step, calls its operations, and goes back to any step of its history."),
        h("p", {}, "All of this is done with the ", h("a", { href: "/docs" }, "HTTP API"), ", as any other client would.")),
    );
  }

  /** Something happened to the open run: the list may show it, too. */
  changed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.runs.refresh(), 300);
  }

  streamed(isOpen) {
    const was = this.isStreaming;
    this.isStreaming = isOpen;
    this.tell();
    if (was !== isOpen) this.check();
  }

  /** Ask whether gateway and worker are there; what waited for them goes on. */
  async check() {
    if (this.isChecking) return;
    this.isChecking = true;
    const link = await linkNow();
    this.isChecking = false;
    const was = this.link;
    this.link = link;
    if (link === "open") this.seen = new Date();
    this.tell();
    if (link !== "open" || was === "open") return;
    this.runs.refresh();
    this.view?.ring();
    this.tellCaller();
  }

  tell() {
    const link = this.link === "open" && this.isStreaming === false ? "waiting" : this.link;
    const [word, trouble] = LINKS[link];
    part("link").dataset.link = link;
    say(part("link"), word);
    part("banner").hidden = !trouble;
    say(part("banner"), trouble && `${trouble} What is shown is as of ${this.seen.toLocaleTimeString()}. The page goes on by itself.`);
  }

  async tellCaller() {
    const { api, name } = this;
    let who;
    try {
      who = callerText(await api.get("/model-worker/caller"));
    } catch (error) {
      who = error instanceof Fault && error.status === 401 ? "token refused" : "who is asking?";
    }
    if (api === this.api) part("who").replaceChildren(h("span", { class: "place" }, name), ` ${who}`);
  }

  /** Choose project and token. */
  async whoAsks() {
    const place = here();
    const account = textField("Account", { value: place.account, required: true, maxlength: 64 });
    const project = textField("Project", { value: place.project, required: true, maxlength: 64 });
    const secret = textField("Token", {
      value: token(),
      hint: "On a laptop dev, or dev:ROLE:user, as in dev:PARTICIPANT:ada; elsewhere a JWT. It stays in this tab.",
    });
    const act = async () => {
      const api = new Api(account.input.value, project.input.value, secret.input.value.trim());
      return callerText(await api.get("/model-worker/caller"));
    };
    const body = [h("div", { class: "pair" }, account.element, project.element), secret.element];
    const who = await ask("Who is asking", { body, yes: "Use", act });
    if (!who) return;
    keepToken(secret.input.value.trim());
    this.name = undefined;
    const next = { account: account.input.value, project: project.input.value };
    const stays = next.account === place.account && next.project === place.project;
    const address = addressOf(next, stays ? place.runKey : undefined);
    if (location.hash === address || (stays && !location.hash)) this.go(true);
    else location.hash = address;
    this.news(`Asking as ${who}.`);
  }
}

async function linkNow() {
  try {
    const answer = await (await reach("/readyz", { signal: AbortSignal.timeout(PATIENCE_MS) })).json();
    return answer.ready ? "open" : answer.worker ? "draining" : "worker";
  } catch {
    return "gateway";
  }
}

function callerText({ userKey, role, worldRole }) {
  return [userKey ?? "nobody", worldRole ?? role].join(" · ");
}

new Page();
