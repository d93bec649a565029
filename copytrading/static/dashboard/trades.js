// The table of the newest copies, each with a button to its story. Rows keep their place while they are the same.

import { at, make, number, readable, timeOfDay } from "./draw.js";

const STORIES = {
  READY: "Waits for its turn; nothing was sent.",
  PENDING: "Sent; waiting for the answer.",
  UNKNOWN: "The answer was lost; asking by the order's hash.",
  LIVE: "Rests on the venue.",
  MATCHED: "Matched; waiting for the confirmed fill.",
  SETTLEMENT_PENDING: "Filled; settling on chain.",
};

const shown = new Map(); // trade id -> [what was drawn, its row]

export const statusWords = (status) => status.toLowerCase().replaceAll("_", " ");

function story(trade) {
  const reasons = trade.reasons.map(readable).join("; ");
  if (trade.status === "EXECUTED") {
    const part = trade.fill_size === trade.size ? "Filled" : `Filled ${trade.fill_size} of ${trade.size}`;
    const fee = Number(trade.fee) ? `, fee $${trade.fee}` : "";
    return `${part} at ${trade.fill_price}${fee}${reasons && `. ${reasons}`}`;
  }
  return reasons || STORIES[trade.status] || "";
}

function cell(label, className, ...children) {
  return make("td", { role: "cell", className, "data-label": label }, ...children);
}

function opener(trade) {
  const label = `The story of copy ${trade.id}: ${trade.follower} after ${trade.leader}, ${statusWords(trade.status)}`;
  return make("button", { className: "opener", type: "button", "data-trade": trade.id, "aria-haspopup": "dialog", "aria-label": label }, trade.follower);
}

function row(trade) {
  const ordered = Number(trade.size) > 0;
  const filled = Number(trade.fill_size) > 0;
  const side = make("span", { className: `side ${trade.side === "BUY" ? "buy" : "sell"}` }, trade.side === "BUY" ? "Buy" : "Sell");
  return make(
    "tr",
    { role: "row", "data-status": trade.status },
    cell("Time", "time", make("time", { datetime: trade.at, title: trade.at }, timeOfDay(trade.at))),
    cell("Copy", "people", opener(trade), make("span", { className: "detail" }, `after ${trade.leader}`)),
    cell("Market", "market", make("span", { className: "title" }, trade.market), make("span", { className: "detail" }, side, ` ${trade.outcome}`)),
    cell("Order", "number", ordered ? `${trade.size}` : "–", ordered ? make("span", { className: "detail" }, `limit ${trade.limit}`) : ""),
    cell("Fill", "number", filled ? trade.fill_size : "–", filled ? make("span", { className: "detail" }, `at ${trade.fill_price}`) : ""),
    cell("Delay", "number delay", `${number(trade.delay_ms)} ms`),
    cell("Outcome", "outcome", make("span", { className: `chip ${trade.status.toLowerCase()}` }, statusWords(trade.status)), make("span", { className: "detail story" }, story(trade))),
  );
}

export function draw(trades) {
  const body = at("newest");
  const kept = new Set(trades.map((trade) => trade.id));
  for (const [id, [, node]] of shown) {
    if (!kept.has(id)) {
      node.remove();
      shown.delete(id);
    }
  }
  let next = body.firstElementChild;
  for (const trade of trades) {
    const print = JSON.stringify(trade);
    const known = shown.get(trade.id);
    let node = known?.[1];
    if (!known || known[0] !== print) {
      node = row(trade);
      if (known) {
        if (next === known[1]) next = next.nextElementSibling;
        known[1].remove();
      }
      shown.set(trade.id, [print, node]);
    }
    if (node === next) next = next.nextElementSibling;
    else body.insertBefore(node, next);
  }
  at("no-copies").hidden = trades.length > 0;
}
