// Who is asking, and of which project. The token stays in this tab: sessionStorage, and nowhere else.

import { Api } from "./api.js";

const TOKEN = "model-worker.token";
const PLACE = ["acme", "demo"];

/** The token of this tab. */
export function token() {
  return sessionStorage.getItem(TOKEN) ?? "dev";
}

/** Keep another one. */
export function keepToken(text) {
  sessionStorage.setItem(TOKEN, text);
}

/** Where the address of the page leads: {account, project, runKey?}. */
export function here() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  const [account, project, runKey] = parts[0] && parts[1] ? parts : PLACE;
  return { account, project, runKey: runKey || undefined };
}

/** The address of a run, or of the list. */
export function addressOf({ account, project }, runKey = undefined) {
  return `#/${[account, project, ...(runKey ? [runKey] : [])].map(encodeURIComponent).join("/")}`;
}

/** The way to the gateway for the project that the address names, as the holder of the token. */
export function apiOf({ account, project }) {
  return new Api(account, project, token());
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
