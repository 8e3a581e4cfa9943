// JSON values as they are shown and sent. Integers beyond 2^53 keep all their digits.

const INTEGER = /^-?\d+$/;
const NUMBER_AS_TEXT = /^-?\d{1,15}(\.\d{1,15})?$/;
const MOST_LINES = 8;
const MOST_SHOWN = 100_000;

/** The value of a JSON text; integers that a number cannot hold are BigInts, where the browser tells their digits. */
export function parse(text) {
  return JSON.parse(text, (_name, value, context) => {
    const source = context?.source;
    const lossy = typeof value === "number" && !Number.isSafeInteger(value) && INTEGER.test(source ?? "");
    return lossy ? BigInt(source) : value;
  });
}

/** A value as JSON text; on one line without `indent`. */
export function show(value, indent = 0) {
  const exact = (_name, one) => (typeof one === "bigint" ? (JSON.rawJSON?.(String(one)) ?? String(one)) : one);
  return JSON.stringify(value, exact, indent) ?? "null";
}

/** A value on one line, cut where it is too long to look at. */
export function brief(value, most = 120) {
  const text = show(value);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

/** A value on many lines; of a very long one the beginning, and how much more there is. */
export function whole(value) {
  const text = show(value, 2);
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…\n(${text.length - MOST_SHOWN} more characters)` : text;
}

/** What a field's text means: JSON, or else the text itself. Both as JSON text, to be sent as it stands. */
export function meant(text) {
  try {
    JSON.parse(text);
    return text.trim();
  } catch {
    return JSON.stringify(text);
  }
}

/** The number that a value is; exact decimals travel as text. undefined: it is none. */
function asNumber(value) {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  return typeof value === "string" && NUMBER_AS_TEXT.test(value) ? Number(value) : undefined;
}

/** The lines that a value adds a point to: [label, number] of a number, or of a small map or list of numbers. */
export function linesOf(value) {
  const alone = asNumber(value);
  if (alone !== undefined) return [["", alone]];
  if (value === null || typeof value !== "object") return null;
  const parts = Object.entries(value).map(([name, one]) => [name, asNumber(one)]);
  const fits = parts.length > 0 && parts.length <= MOST_LINES && parts.every(([, one]) => one !== undefined);
  return fits ? parts : null;
}

/** A number short enough for an axis. */
export function shortNumber(number) {
  if (number !== 0 && (Math.abs(number) >= 1e7 || Math.abs(number) < 1e-4)) return number.toExponential(1);
  return String(Number(number.toPrecision(6)));
}

/** A moment of the worker in the reader's own time. */
export function moment(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return String(iso);
  const today = at.toDateString() === new Date().toDateString();
  return today ? at.toLocaleTimeString() : at.toLocaleString();
}
