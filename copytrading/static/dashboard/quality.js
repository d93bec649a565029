// The table of copy quality: read now and then, since it is about hours and days. Rows stay the same nodes while their
// figures change; a phone shows each column's heading beside its value.

import { at, fill, make, number, readable, text, timeOfDay } from "./draw.js";

const NONE = "–";
const REASONS_MAX = 4;
const prices = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 4 });
const percents = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });

const price = (micros) => prices.format(micros / 1_000_000);
const traded = (side) => (line) => (line[side] ? `${price(line[side].leader_micros)} → ${price(line[side].own_micros)}` : NONE);
const points = (name) => (line) => (line[name] === null ? NONE : `${number(line[name])} bps`);
const delay = (stage) => ({ delays_ms: delays }) => (delays[stage] === null ? NONE : number(delays[stage]));

// In the order of the headings; delays in the order of STAGES in copytrading/quality/summaries.py.
const COLUMNS = [
  ["Copies", ({ copies }) => number(copies)],
  ["Bought", traded("buys")],
  ["Sold", traded("sells")],
  ["Slippage", points("slippage_bps")],
  ["Slippage p90", points("slippage_p90_bps")],
  ["Fee", points("fee_bps")],
  ["Fill ratio", ({ fill_ratio_bps: ratio }) => (ratio === null ? NONE : `${percents.format(ratio / 100)} %`)],
  ["Source", delay(0)],
  ["Queue", delay(1)],
  ["Decide", delay(2)],
  ["Prewrite", delay(3)],
  ["Send", delay(4)],
  ["Venue", delay(5)],
  ["Settlement", delay(6)],
  ["Missed", ({ missed }) => number(missed)],
];

// One line of figures, and under it one of why copies were missed.
function rows({ id, name, url }) {
  const title = make("th", { role: "rowheader", scope: "row" }, url ? make("a", { href: url }, name) : name);
  const cells = COLUMNS.map(([label]) => make("td", { role: "cell", className: "number", "data-label": label }, make("span")));
  const list = (heading) => make("ul", { className: "misses", "aria-label": `${heading}: ${name}` });
  const rest = make("details", {}, make("summary"), list("More reasons"));
  const why = make("td", { role: "cell", colspan: `${cells.length + 1}` }, make("span", {}, "Missed for"), list("Missed by reason"), rest);
  return [
    make("tr", { role: "row", "data-person": `${id}` }, title, ...cells),
    make("tr", { role: "row", "data-misses": `${id}`, className: "why-missed" }, why),
  ];
}

// The most frequent reasons at once and the others behind a line to open, which stays open while its figures change.
function drawMisses(line, { misses }, explanations) {
  const items = misses.map(({ reason, count }) =>
    make("li", { title: explanations[reason] ?? "" }, make("span", {}, readable(reason)), " ", make("b", {}, number(count))),
  );
  // A last one alone is shown as itself.
  const shown = items.slice(0, items.length === REASONS_MAX + 1 ? REASONS_MAX + 1 : REASONS_MAX);
  const rest = items.slice(shown.length);
  const [, most, others] = line.firstChild.children;
  line.hidden = !shown.length;
  fill(most, shown);
  others.hidden = !rest.length;
  text(others.firstChild, `${number(rest.length)} more reasons`);
  fill(others.lastChild, rest);
}

export class QualityTable {
  constructor(url, setting, explanations) {
    Object.assign(this, { url, setting, explanations, told: null, problem: null, asking: null });
    this.askedAt = -Infinity;
    at("quality-who").addEventListener("change", () => this.draw());
    at("quality-window").addEventListener("change", () => this.ask());
  }

  // Called a few times a second; nobody looks at a hidden page.
  turn() {
    if (!document.hidden && performance.now() - this.askedAt > this.setting("qualityMs")) this.ask();
  }

  // The last question wins: an answer for a window that was chosen before is no news.
  async ask() {
    this.askedAt = performance.now();
    const window = at("quality-window").value;
    this.asking = window;
    try {
      const answer = await fetch(`${this.url}?window=${window}`, {
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout(this.setting("fetchMsMax")),
      });
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      const told = await answer.json();
      if (this.asking !== window) return;
      [this.told, this.problem] = [told, null];
    } catch (problem) {
      if (this.asking !== window) return;
      this.problem = problem.message;
    }
    this.draw();
  }

  draw() {
    const { told, problem } = this;
    const some = told !== null && told.looked_at > 0;
    at("quality-scroll").hidden = at("quality-foot").hidden = !some;
    at("no-quality").hidden = some && problem === null;
    const as_of = told ? ` The figures are those of ${timeOfDay(told.now)}.` : "";
    text("no-quality", problem !== null ? `These figures could not be read: ${problem}${some ? as_of : ""}` : told ? "No copies in this time." : "Reading the newest copies.");
    if (!some) return;
    const lines = [told.everybody, ...told[at("quality-who").value]];
    const body = at("quality");
    const keys = lines.map(({ id, url }) => `${id} ${url}`).join("\n");
    if (body.dataset.keys !== keys) {
      body.replaceChildren(...lines.flatMap(rows));
      body.dataset.keys = keys;
    }
    lines.forEach((line, index) => {
      const [, ...cells] = body.rows[2 * index].cells;
      cells.forEach((cell, column) => text(cell.firstChild, COLUMNS[column][1](line)));
      drawMisses(body.rows[2 * index + 1], line, this.explanations);
    });
    const copies = `${number(told.looked_at)} ${told.looked_at === 1 ? "copy" : "copies"}`;
    text("quality-looked", `${told.cut ? `Of the newest ${copies}; there are more` : `Of ${copies}`}. The 20 with the most of them are shown.`);
  }
}
