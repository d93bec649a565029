// A chart over time in plain SVG: axes, units, and a moment that can be read by mouse, touch or keyboard.
//
// The picture itself is hidden from screen readers. They have the slider, which reads any moment out, and a table of
// the figures; both are words.

import { ago, make, text, timeOfDay } from "./draw.js";
import { WINDOW_S } from "./picture.js";

const SVG = "http://www.w3.org/2000/svg";
const SPACE = { top: 10, right: 12, bottom: 22, left: 46 };
const LINES = 4; // of the grid, about
const PAGE_STEPS = 15;

function shape(tag, className, attributes, content = "") {
  const node = document.createElementNS(SVG, tag);
  node.setAttribute("class", className);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = content;
  return node;
}

// The step between two lines: 1, 2 or 5 times a power of ten.
export function niceStep(highest) {
  const raw = highest / LINES;
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
}

export class Chart {
  // `series` are {name, className, value(step)}; a value is a number, or null where nothing is known.
  // `nowS` is how many seconds the figures of "now" are about.
  constructor(card, { series, stacked = false, unit, show, nowS }) {
    Object.assign(this, { card, series, stacked, unit, show, nowS });
    this.plot = card.querySelector(".plot");
    this.svg = card.querySelector("svg");
    this.moment = null; // the step that is read out; null: the newest
    this.steps = [];
    this.now = { known: false };
    this.legend();
    this.listen();
  }

  legend() {
    this.values = this.series.map(() => make("b", {}, "–"));
    const items = this.series.map(({ name, className }, index) => make("li", {}, this.key(className), make("span", {}, name), this.values[index]));
    this.card.querySelector(".series").replaceChildren(...items);
    this.cells = this.series.map(() => [make("td"), make("td"), make("td")]);
    const rows = this.series.map(({ name }, index) => make("tr", {}, make("th", { scope: "row" }, name), ...this.cells[index]));
    this.card.querySelector("tbody").replaceChildren(...rows);
  }

  // A piece of the line, with its dashes, or of the area.
  key(className) {
    if (this.stacked) return make("i", { className: `key ${className}` });
    const svg = shape("svg", "key-line", { viewBox: "0 0 20 4" });
    svg.append(shape("line", `line ${className}`, { x1: 0, x2: 20, y1: 2, y2: 2 }));
    return svg;
  }

  listen() {
    this.plot.addEventListener("pointermove", (event) => this.pointAt(event));
    this.plot.addEventListener("pointerdown", (event) => this.pointAt(event));
    this.plot.addEventListener("pointerleave", () => this.choose(null));
    this.plot.addEventListener("blur", () => this.choose(null));
    this.plot.addEventListener("keydown", (event) => this.press(event));
  }

  stepLength() {
    return this.plot.clientWidth < 420 ? 5 : 2;
  }

  update(steps, now) {
    this.steps = steps;
    this.now = { ...now, seconds: this.nowS };
    this.draw();
  }

  width() {
    return Math.max(120, this.plot.clientWidth);
  }

  x(index) {
    const room = this.width() - SPACE.left - SPACE.right;
    return SPACE.left + (room * index) / Math.max(1, this.steps.length - 1);
  }

  pointAt(event) {
    const { left } = this.plot.getBoundingClientRect();
    const part = (event.clientX - left - SPACE.left) / (this.width() - SPACE.left - SPACE.right);
    this.choose(Math.round(Math.min(1, Math.max(0, part)) * (this.steps.length - 1)));
  }

  press(event) {
    const last = this.steps.length - 1;
    const now = this.index() ?? last;
    const moves = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1 };
    Object.assign(moves, { PageDown: now - PAGE_STEPS, PageUp: now + PAGE_STEPS, Home: 0, End: last });
    if (event.key === "Escape") this.choose(null);
    else if (event.key in moves) this.choose(Math.min(last, Math.max(0, moves[event.key])));
    else return;
    event.preventDefault();
  }

  choose(index) {
    this.moment = index === null ? null : (this.steps[index]?.at ?? null);
    this.draw();
  }

  // Where the moment that is read stands now; null when it is the newest or has left the window.
  index() {
    const index = this.moment === null ? -1 : this.steps.findIndex((step) => step.at === this.moment);
    return index < 0 ? null : index;
  }

  draw() {
    const columns = this.series.map((each) => this.steps.map((step) => this.valueOf(each, step)));
    this.tell(columns);
    const tops = this.stacked ? this.steps.map((_step, at) => columns.reduce((total, column) => total + (column[at] ?? 0), 0)) : columns.flat();
    const height = this.plot.clientHeight || 190;
    const step = niceStep(Math.max(1, ...tops.filter((value) => value !== null)));
    const highest = step * Math.ceil(Math.max(1, ...tops) / step);
    const y = (value) => height - SPACE.bottom - (value / highest) * (height - SPACE.top - SPACE.bottom);
    this.svg.setAttribute("viewBox", `0 0 ${this.width()} ${height}`);
    this.svg.replaceChildren(...this.axes(y, { step, highest, height }), ...this.lines(columns, y), ...this.cursor(columns, y, height));
  }

  axes(y, { step, highest, height }) {
    const [left, right] = [SPACE.left, this.width() - SPACE.right];
    const found = [];
    for (let value = 0; value <= highest + step / 2; value += step) {
      found.push(shape("line", value ? "grid-line" : "axis", { x1: left, x2: right, y1: y(value), y2: y(value) }));
      found.push(shape("text", "tick", { x: left - 7, y: y(value) + 4, "text-anchor": "end" }, this.show(value)));
    }
    for (let minute = 0; minute <= WINDOW_S / 60; minute += 1) {
      const x = right - ((right - left) * minute) / (WINDOW_S / 60);
      const anchor = minute ? "middle" : "end";
      found.push(shape("text", "tick", { x, y: height - 5, "text-anchor": anchor }, minute ? `−${minute} min` : "now"));
    }
    return found;
  }

  lines(columns, y) {
    if (!this.stacked) return columns.map((column, at) => shape("path", `line ${this.series[at].className}`, { d: this.line(column, y) }));
    let below = this.steps.map(() => 0);
    return columns.map((column, at) => {
      const above = below.map((value, index) => value + (column[index] ?? 0));
      const there = above.map((value, index) => `${this.x(index).toFixed(1)},${y(value).toFixed(1)}`);
      const back = below.map((value, index) => `${this.x(index).toFixed(1)},${y(value).toFixed(1)}`).reverse();
      below = above;
      return shape("polygon", `area ${this.series[at].className}`, { points: [...there, ...back].join(" ") });
    });
  }

  // Where nothing is known the line is broken; a lone point is a short dash.
  line(column, y) {
    let pen = "M";
    let drawn = "";
    column.forEach((value, index) => {
      if (value === null) {
        pen = "M";
        return;
      }
      const alone = pen === "M" && (column[index + 1] ?? null) === null;
      drawn += `${pen}${this.x(index).toFixed(1)} ${y(value).toFixed(1)}${alone ? "h1.5" : ""}`;
      pen = "L";
    });
    return drawn;
  }

  cursor(columns, y, height) {
    const index = this.index();
    if (index === null) return [];
    const x = this.x(index);
    const found = [shape("line", "cursor", { x1: x, x2: x, y1: SPACE.top, y2: height - SPACE.bottom })];
    let below = 0;
    columns.forEach((column, at) => {
      if (column[index] === null) return;
      const top = this.stacked ? (below += column[index]) : column[index];
      found.push(shape("circle", `point ${this.series[at].className}`, { cx: x, cy: y(top), r: 3.5 }));
    });
    return found;
  }

  valueOf({ value }, step) {
    return step.known ? value(step) : null;
  }

  tell(columns) {
    const chosen = this.index();
    const step = chosen === null ? this.now : this.steps[chosen];
    const values = this.series.map((each) => this.words(this.valueOf(each, step)));
    values.forEach((value, number) => text(this.values[number], value));
    const past = chosen === null ? 0 : this.steps.at(-1).at - step.at;
    const moment = chosen === null ? "now" : timeOfDay(step.at);
    text(this.card.querySelector(".moment"), chosen === null ? `last ${this.nowS} s` : `${moment}, ${ago(past)} ago`);
    const spoken = this.series.map(({ name }, number) => `${name} ${values[number]}`).join(", ");
    this.plot.setAttribute("aria-valuenow", String(Math.round(-past / 1_000)));
    this.plot.setAttribute("aria-valuetext", `${moment}: ${spoken} ${this.unit}`);
    columns.forEach((column, number) => this.figures(column, number));
  }

  figures(column, number) {
    const known = column.filter((value) => value !== null);
    const mean = known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
    const figures = [this.valueOf(this.series[number], this.now), mean, known.length ? Math.max(...known) : null];
    figures.forEach((value, at) => text(this.cells[number][at], this.words(value)));
  }

  words(value) {
    return value === null || value === undefined ? "–" : this.show(value);
  }
}

// A line without axes beside a figure; its label says in words what it shows. The bound is a line of its own, when
// the figures come near it.
export function sparkline(svg, numbers, { label, show, bound = null }) {
  const [width, height, pad] = [240, 40, 3];
  const known = numbers.filter((value) => value !== null);
  const peak = Math.max(...known, 0);
  const near = bound !== null && peak > bound / 3;
  const highest = Math.max(peak, near ? bound : 0, 1);
  const x = (index) => ((index * width) / (numbers.length - 1)).toFixed(1);
  const y = (value) => (height - pad - (value / highest) * (height - 2 * pad)).toFixed(1);
  const points = numbers.map((value, index) => (value === null ? null : [x(index), y(value)])).filter(Boolean);
  const line = points.map((point) => point.join()).join(" ");
  const found = points.length
    ? [
        shape("polygon", "under", { points: `${points[0][0]},${height} ${line} ${points.at(-1)[0]},${height}` }),
        shape("polyline", "over", { points: line }),
      ]
    : [];
  if (near) found.push(shape("line", "bound", { x1: 0, x2: width, y1: y(bound), y2: y(bound) }));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.replaceChildren(...found);
  const most = bound === null ? "" : `, at most ${show(bound)} allowed`;
  const figures = known.length ? `now ${show(known.at(-1))}, highest ${show(peak)}` : "no figures yet";
  svg.setAttribute("aria-label", `${label} in the last five minutes: ${figures}${most}`);
}
