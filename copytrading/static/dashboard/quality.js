// The table of copy quality: read now and then, since it is about hours and days. Rows stay the same nodes while their
// figures change; a phone shows each column's heading beside its value.

import { at, make, number, text, timeOfDay } from "./draw.js";

const NONE = "–";
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
  ["Missed", ({ missed }) => number(missed), ({ missed_most: most }) => (most ? `mostly ${most}` : "")],
];

function row({ id, name, url }) {
  const title = make("th", { role: "rowheader", scope: "row" }, url ? make("a", { href: url }, name) : name);
  const cells = COLUMNS.map(([label]) => make("td", { role: "cell", className: "number", "data-label": label }, make("span"), make("span", { className: "detail" })));
  return make("tr", { role: "row", "data-person": `${id}` }, title, ...cells);
}

export class QualityTable {
  constructor(url, setting) {
    Object.assign(this, { url, setting, told: null, problem: null, asking: null });
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
      body.replaceChildren(...lines.map(row));
      body.dataset.keys = keys;
    }
    lines.forEach((line, index) => {
      const [, ...cells] = body.rows[index].cells;
      cells.forEach((cell, column) => {
        const [, value, detail] = COLUMNS[column];
        text(cell.firstChild, value(line));
        text(cell.lastChild, detail ? detail(line) : "");
      });
    });
    const copies = `${number(told.looked_at)} ${told.looked_at === 1 ? "copy" : "copies"}`;
    text("quality-looked", `${told.cut ? `Of the newest ${copies}; there are more` : `Of ${copies}`}. The 20 with the most of them are shown.`);
  }
}
