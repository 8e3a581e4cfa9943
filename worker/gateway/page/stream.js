// Server-Sent Events by fetch, so that the token travels in a header; resumed behind the last id, without end.

import { Fault, faultOf, reach } from "./api.js";
import { parse } from "./values.js";

const SILENCE_MS = 40_000;
const SOONEST_MS = 500;
const LATEST_MS = 5_000;

/**
 * Follow a stream until `signal` aborts. `onId(id)` hears of every id, also of those without a message; `onLink(open)`
 * whether the stream is open; `onEnd(fault)` that it will not be opened again.
 */
export async function follow(api, path, lastId, { onId, onLink, onEnd, signal }) {
  let wait = SOONEST_MS;
  const heard = (id) => {
    lastId = id;
    wait = SOONEST_MS;
    onId(id);
  };
  while (!signal.aborted) {
    try {
      await readOnce(api, path, lastId, heard, onLink, signal);
    } catch (fault) {
      if (signal.aborted) return;
      if (fault instanceof Fault && !fault.passes) {
        onLink(false);
        onEnd(fault);
        return;
      }
    }
    onLink(false);
    await pause(wait, signal);
    wait = Math.min(2 * wait, LATEST_MS);
  }
}

/** One connection, to its end. */
async function readOnce(api, path, lastId, heard, onLink, signal) {
  const gone = new AbortController();
  const stop = () => gone.abort();
  signal.addEventListener("abort", stop, { once: true });
  // Comments come every few seconds: a connection that is silent for long is none any more.
  let timer = setTimeout(stop, SILENCE_MS);
  try {
    const headers = api.headers({ Accept: "text/event-stream", "Last-Event-ID": lastId });
    const response = await reach(`${api.base}${path}`, { headers, signal: gone.signal });
    if (!response.ok) throw faultOf(response, await response.json().catch(() => ({})));
    onLink(true);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const take = blocks(heard);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(stop, SILENCE_MS);
      take(value);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    gone.abort();
  }
}

/** A function that takes pieces of a stream as they come and tells the id of each block that is complete. */
function blocks(heard) {
  let rest = "";
  let block = {};
  return (piece) => {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (block.event === "fault") throw faultOf({ status: parse(block.data).status }, parse(block.data));
        if (block.id !== undefined) heard(block.id);
        block = {};
      } else if (!line.startsWith(":")) {
        const [, name, value] = line.match(/^([^:]*):? ?(.*)$/s);
        block[name] = name === "data" && block.data !== undefined ? `${block.data}\n${value}` : value;
      }
    }
  };
}

function pause(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });
}
