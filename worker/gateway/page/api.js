// The way to the gateway: requests, faults and what can be done about them.

import { parse, show } from "./values.js";

/** A request that failed. `code` is the gateway's, or GATEWAY_UNREACHABLE where nobody answered. */
export class Fault extends Error {
  constructor(status, code, message, information = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.information = information;
  }

  /** Whether it passes by itself: nobody there, or no room now. */
  get passes() {
    return this.status === 0 || this.status === 503;
  }

  /** Whether nobody is there: the page as a whole tells of that. */
  get isAway() {
    return this.code === "GATEWAY_UNREACHABLE" || this.code === "WORKER_UNREACHABLE";
  }

  /** Whether the same request may be sent again, under the same key. */
  get repeatable() {
    return this.passes || this.status === 504 || this.information.retryable === true;
  }

  /** What to do about it. */
  get advice() {
    const known = ADVICE[this.code];
    if (known) return known;
    if (this.status === 401) return ADVICE.AUTHORIZATION_FAILURE;
    if (this.status === 403) return "Ask as somebody who may: “Who is asking” is at the top of the page.";
    return this.repeatable ? "Send it again: it acts once, however often it is sent." : "Correct what the message names.";
  }
}

const ADVICE = {
  GATEWAY_UNREACHABLE: "The gateway does not answer. See that “model-worker gateway” runs; this page goes on by itself.",
  WORKER_UNREACHABLE: "The worker is away. See that “model-worker serve” runs; this page goes on by itself.",
  WORKER_BUSY: "The worker is full. Wait a moment and send it again, or take runs out of memory.",
  GATEWAY_BUSY: "The gateway is full. Wait a moment and send it again.",
  DRAINING: "The worker is about to end. Wait until it is back and send it again.",
  LOG_UNAVAILABLE: "The worker cannot write to its disk. Its log tells why; send it again when that is over.",
  OUTCOME_UNKNOWN: "Send it again: it acts once, and the answer tells what became of it.",
  DEADLINE_EXCEEDED: "It may still be going on. Send it again: it acts once, and the answer tells what became of it.",
  OPERATION_TIMEOUT: "The operation took longer than its model context allows. The run is what it was before.",
  AUTHORIZATION_FAILURE: "Choose another token under “Who is asking”, at the top of the page.",
  AUTHENTICATION_EXPIRED: "Paste a new token under “Who is asking”, at the top of the page.",
  PROJECT_NOT_FOUND: "Name a project that the worker serves under “Who is asking”, at the top of the page.",
  PERMIT_VIOLATION: "The run's locks keep this caller out. Ask as somebody who may, at the top of the page.",
  GUARD_VIOLATION: "A guard of the model keeps this caller from it. Ask as somebody who may, at the top of the page.",
  RUN_NOT_FOUND: "It may be of another project, or have been ephemeral. Go back to the list of runs.",
  RUN_NOT_RUNNING: "Bring the run into memory first.",
  RUN_CLOSED: "A closed run stays as it is. Clone it to go on.",
  MODEL_ERROR: "The model raised this. It stands in the history, and may have changed the state before it raised.",
  MODEL_START_FAILURE: "The model file fails while it is loaded. “model-worker check” tells its author more.",
  MODEL_NOT_FOUND: "The file is meant below the worker's model folder, as in savings/model.py.",
  RESTORE_FAILED: "The history gave other results than before. The model's author has to look at this.",
  REWIND_INVALID: "Choose another entry, or clone the run from this one.",
  UNKNOWN_OPERATION: "The model has no such operation any more: reload the page.",
  PROCESS_EXITED: "The run's process ended. The run is what it was before; the next request brings it back.",
  LIMIT_EXCEEDED: "The run broke a limit and is what it was before; the next request brings it back.",
};

/** A name for one intent: a request sent again under it acts once. */
export function intent() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
}

/** Gives the same name to the same request, however often it is sent, and another to one that was corrected. */
export function intents() {
  const names = new Map();
  return (body) => {
    const text = show(body);
    if (!names.has(text)) names.set(text, intent());
    return names.get(text);
  };
}

/** Asks one project of the gateway as the holder of one token. */
export class Api {
  constructor(account, project, token) {
    this.base = `/api/v3/${encodeURIComponent(account)}/${encodeURIComponent(project)}`;
    this.token = token;
  }

  headers(more = {}) {
    return this.token ? { Authorization: `Bearer ${this.token}`, ...more } : more;
  }

  /** The answer to a request, or a Fault thrown. `body` is a value; `text` is JSON text that is sent as it stands. */
  async ask(method, path, { query = {}, body, text, key, signal } = {}) {
    const sent = text ?? (body === undefined ? undefined : show(body));
    const headers = this.headers(sent === undefined ? {} : { "Content-Type": "application/json" });
    if (key) headers["Idempotency-Key"] = key;
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
    const search = given.length ? `?${new URLSearchParams(given)}` : "";
    const response = await reach(`${this.base}${path}${search}`, { method, headers, body: sent, signal });
    if (response.status === 204) return undefined;
    const answer = await readJson(response);
    if (response.ok) return answer;
    throw faultOf(response, answer);
  }

  get(path, query, signal) {
    return this.ask("GET", path, { query, signal });
  }
}

/** What was answered; a Fault where nobody did. */
export async function reach(url, options) {
  try {
    return await fetch(url, { cache: "no-store", credentials: "omit", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Fault(0, "GATEWAY_UNREACHABLE", "the gateway does not answer");
  }
}

async function readJson(response) {
  try {
    return parse(await response.text());
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Fault(response.ok ? 0 : response.status, "GATEWAY_UNREACHABLE", "the answer of the gateway broke off");
  }
}

/** The fault that an answer tells of. */
export function faultOf(response, answer) {
  const { message = `status ${response.status}`, information = {} } = answer ?? {};
  return new Fault(response.status, information.code ?? "HTTP_ERROR", message, information);
}
