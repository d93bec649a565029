// The table of live sources: how each is, how often it was first, what it delivered and how late. Rows and cells stay
// the same nodes while their figures change.

import { ago, at, make, number, text } from "./draw.js";
import { sum } from "./picture.js";

// Labels of signals.py, in the order of showing; `silentMs` without fresh data is told as silence.
const KNOWN = {
  "activity-trades": { words: "Stream: trades", silentMs: 20_000 },
  "activity-orders-matched": { words: "Stream: matched orders", silentMs: 20_000 },
  "data-api": { words: "Polls", silentMs: 60_000 },
  "chain-logs": { words: "Chain logs", silentMs: 20_000 },
  mempool: { words: "Mempool", silentMs: 60_000 },
  "market-events": { words: "Market events", silentMs: 300_000 },
};
const OTHER = { silentMs: 60_000 };
const ORDER = Object.keys(KNOWN);

const count = (kind) => ({ counts }) => number(counts[kind] ?? 0);
const elapsed = (milliseconds) => (milliseconds < 10_000 ? `${number(milliseconds)} ms` : ago(milliseconds));
const lag = (name) => (source) => (source.counts.accepted ? elapsed(source[name]) : "–");

// What stands in each column after the source's name, by the heading that a phone shows beside it.
const COLUMNS = [
  ["First", ({ counts }, firsts) => (firsts ? `${Math.round((100 * (counts.first ?? 0)) / firsts)} %` : "–")],
  ["Received", count("received")],
  ["Accepted", count("accepted")],
  ["Late", count("late")],
  ["Duplicate", count("duplicate")],
  ["Increases", count("increases")],
  ["Overcounts", count("overcounts")],
  ["Undecodable", count("undecodable")],
  ["Missed", count("missed")],
  ["Gaps", count("gaps")],
  ["Lag p50", lag("p50")],
  ["Lag p95", lag("p95")],
];

function state({ name, freshMs }) {
  if (freshMs === null) return ["off", "Nothing yet", ""];
  const fresh = freshMs < (KNOWN[name] ?? OTHER).silentMs;
  return fresh ? ["good", "Fresh", `heard ${ago(freshMs)} ago`] : ["skipped", "Silent", `for ${ago(freshMs)}`];
}

function row(name) {
  const words = KNOWN[name]?.words ?? name;
  const title = make("th", { role: "rowheader", scope: "row" }, make("span", { className: "title" }, words), make("span", { className: "chip" }), " ", make("span", { className: "detail" }));
  const cells = COLUMNS.map(([label]) => make("td", { role: "cell", className: "number", "data-label": label }));
  return make("tr", { role: "row", "data-source": name }, title, ...cells);
}

function place(name) {
  return ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length;
}

export function draw(found) {
  const sources = [...found].sort((a, b) => place(a.name) - place(b.name) || a.name.localeCompare(b.name));
  const body = at("sources");
  const shown = [...body.rows].map((line) => line.dataset.source);
  if (shown.join("\n") !== sources.map(({ name }) => name).join("\n")) body.replaceChildren(...sources.map(({ name }) => row(name)));
  const firsts = sum(sources.map(({ counts }) => counts.first ?? 0));
  sources.forEach((source, index) => {
    const [title, ...cells] = body.rows[index].cells;
    const [level, word, detail] = state(source);
    const chip = title.querySelector(".chip");
    if (chip.className !== `chip ${level}`) chip.className = `chip ${level}`;
    text(chip, word);
    text(title.querySelector(".detail"), detail);
    cells.forEach((cell, column) => text(cell, COLUMNS[column][1](source, firsts)));
  });
  at("sources-scroll").hidden = at("sources-foot").hidden = sources.length === 0;
  at("no-sources").hidden = sources.length > 0;
}
