// Line plots drawn as SVG, with the values as a table behind them.

import { foreign, freshId, h, s } from "./dom.js";
import { shortNumber } from "./values.js";

const WIDTH = 360;
const HEIGHT = 150;
const EDGE = { left: 50, right: 12, top: 10, bottom: 24 };
const MOST_DOTS = 60;
const MOST_ROWS = 200;

/** A figure of one variable, that `draw(lines)` brings up to date. */
export class Plot {
  constructor(name) {
    this.name = name;
    this.head = h("span", { class: "now" });
    this.picture = h("div");
    this.legend = h("ul", { class: "legend" });
    this.table = h("div", { class: "scroll", tabindex: 0, role: "region" });
    this.table.setAttribute("aria-label", `Values of ${name}`);
    this.element = h(
      "figure",
      { class: "plot", "data-variable": name },
      h("figcaption", {}, foreign(name, "b"), this.head),
      this.picture,
      this.legend,
      h("details", {}, h("summary", {}, "Values by step"), this.table),
    );
  }

  /** Show `lines`, as Series gives them; what is drawn already stays. */
  draw(lines) {
    const text = JSON.stringify(lines);
    if (this.drawn === text) return;
    this.drawn = text;
    const last = lines.map((line) => line.points.at(-1)?.[1]);
    this.head.textContent = lines.length === 1 ? spoken(last[0]) : "";
    this.picture.replaceChildren(picture(this.name, lines));
    const items = lines.map((line, at) =>
      h("li", {}, s("svg", { viewBox: "0 0 24 8", "aria-hidden": "true" }, s("path", { class: `line l${at}`, d: "M0 4H24" })),
        h("span", {}, foreign(line.label), ` ${spoken(last[at])}`)));
    this.legend.hidden = lines.length === 1;
    this.legend.replaceChildren(...(lines.length === 1 ? [] : items));
    this.table.replaceChildren(tableOf(lines));
  }
}

function spoken(number) {
  return number === undefined ? "not told" : shortNumber(number);
}

function tableOf(lines) {
  const rows = lines[0].points.map(([seq], at) => [seq, lines.map((line) => line.points[at][1])]).slice(-MOST_ROWS);
  const head = lines.map((line) => h("th", { scope: "col" }, line.label ? foreign(line.label) : "Value"));
  const cells = (values) => values.map((one) => h("td", {}, one === undefined ? "not told" : String(one)));
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Step"), head)),
    h("tbody", {}, rows.reverse().map(([seq, values]) => h("tr", {}, h("th", { scope: "row" }, String(seq)), cells(values)))),
  );
}

function picture(name, lines) {
  const numbers = lines.flatMap((line) => line.points.map(([, number]) => number)).filter((one) => one !== undefined);
  const seqs = lines[0].points.map(([seq]) => seq);
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const ticks = ticksOf(low, high);
  const x = scale(seqs[0], seqs.at(-1), EDGE.left, WIDTH - EDGE.right);
  const y = scale(ticks[0], ticks.at(-1), HEIGHT - EDGE.bottom, EDGE.top);
  const [title, text] = [freshId("title"), freshId("text")];
  const told = `${seqs.length} steps, from ${seqs[0]} to ${seqs.at(-1)}; lowest ${shortNumber(low)}, highest ${shortNumber(high)}`;
  return s(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": title, "aria-describedby": text },
    s("title", { id: title }, `${name} over the steps of the history`),
    s("desc", { id: text }, told),
    ticks.map((tick) => rule(tick, y(tick))),
    marksOf(seqs).map((seq) => mark(seq, x(seq), seqs)),
    lines.map((line, at) => curve(line, at, x, y)),
  );
}

function rule(tick, at) {
  return s("g", { class: "axis" }, s("path", { d: `M${EDGE.left} ${at}H${WIDTH - EDGE.right}` }),
    s("text", { x: EDGE.left - 6, y: at + 4, "text-anchor": "end" }, shortNumber(tick)));
}

function mark(seq, at, seqs) {
  const anchor = seqs.length === 1 ? "middle" : seq === seqs[0] ? "start" : seq === seqs.at(-1) ? "end" : "middle";
  return s("g", { class: "axis" }, s("text", { x: at, y: HEIGHT - 6, "text-anchor": anchor }, String(seq)));
}

/** One line, with gaps where a value was not told. */
function curve(line, at, x, y) {
  let pen = "M";
  let path = "";
  const dots = [];
  for (const [seq, number] of line.points) {
    if (number === undefined) {
      pen = "M";
      continue;
    }
    path += `${pen}${x(seq).toFixed(1)} ${y(number).toFixed(1)}`;
    pen = "L";
    dots.push([seq, number]);
  }
  const shown = dots.length <= MOST_DOTS ? dots : [dots.at(-1)];
  const label = line.label ? `${line.label}, ` : "";
  return s("g", { class: "curve" }, s("path", { class: `line l${at}`, d: path }), shown.map(([seq, number]) =>
    s("circle", { class: `dot l${at}`, cx: x(seq).toFixed(1), cy: y(number).toFixed(1), r: 3, "data-step": seq, "data-value": number },
      s("title", {}, `${label}step ${seq}: ${number}`))));
}

function scale(low, high, from, to) {
  return (value) => (high === low ? (from + to) / 2 : from + ((value - low) / (high - low)) * (to - from));
}

/** Two to five round numbers that hold all between `low` and `high`. */
function ticksOf(low, high) {
  if (low === high) return low === 0 ? [0, 1] : [Math.min(0, 2 * low), low, Math.max(0, 2 * low)].sort((a, b) => a - b);
  const raw = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= raw * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const count = Math.max(1, Math.ceil(high / step - 1e-9) - first);
  return Array.from({ length: count + 1 }, (_one, at) => (first + at) * step);
}

/** First, middle and last step. */
function marksOf(seqs) {
  return [...new Set([seqs[0], seqs[Math.floor(seqs.length / 2)], seqs.at(-1)])].filter(
    (seq, at, all) => all.length < 3 || at !== 1 || seqs.length > 4 || seqs.length === 3,
  );
}
