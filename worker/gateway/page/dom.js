// Elements made by hand. Text gets in as text nodes only: nothing here can make markup of it.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: attributes; functions are listeners of that event; null, undefined and false are left out. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set the text of an element where it is another one, so that screen readers hear of changes only. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Text of a model or caller, kept apart from the direction of what stands around it. */
export function foreign(text, tag = "bdi") {
  return h(tag, { dir: "auto" }, text);
}

let numbers = 0;

/** An id that no other element of the page has. */
export function freshId(word) {
  numbers += 1;
  return `${word}-${numbers}`;
}

/** A labelled control, with a hint below it. */
export function field(label, control, hint = null) {
  control.id ||= freshId("field");
  const note = hint && h("small", { id: freshId("hint") }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

/** Up, Down, Home and End move the focus among the elements that `selector` finds in `root`; Tab does as ever. */
export function arrows(root, selector) {
  root.addEventListener("keydown", (event) => {
    const from = event.target.closest(selector);
    const moves = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    if (!from || !(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
    // In a table the same column is meant.
    const column = from.dataset.column;
    const all = [...root.querySelectorAll(selector)].filter((one) => one.dataset.column === column);
    const at = all.indexOf(from) + moves[event.key];
    event.preventDefault();
    all[Math.max(0, Math.min(all.length - 1, at))].focus();
  });
}
