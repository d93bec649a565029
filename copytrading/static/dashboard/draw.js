// Puts values on the page. Everything that came from outside becomes text by textContent, never markup.

const whole = new Intl.NumberFormat();
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const BARS_MAX = 8;

export const at = (id) => document.getElementById(id);
export const number = (value) => whole.format(Math.round(value));
export const rate = (value) => (value > 0 && value < 10 ? tenths.format(value) : value < 10_000 ? number(value) : short.format(value));
export const milliseconds = (value) => (value === null ? "–" : rate(value));
export const timeOfDay = (moment) => clock.format(new Date(moment));

export function text(id, value) {
  const node = typeof id === "string" ? at(id) : id;
  if (node.textContent !== value) node.textContent = value;
}

export function make(tag, { className, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}

// New children only where something changed: a reader's place and selection stay.
export function fill(list, children) {
  const wanted = list.cloneNode(false);
  wanted.append(...children);
  if (!wanted.isEqualNode(list)) list.replaceChildren(...wanted.childNodes);
}

// BELOW_MINIMUM (value 3, limit 5) -> Below minimum (value 3, limit 5)
export function readable(reason) {
  return reason.replace(/^[A-Z][A-Z_]+/, (code) => code[0] + code.slice(1).toLowerCase().replaceAll("_", " "));
}

export function ago(elapsed) {
  const seconds = Math.max(0, Math.round(elapsed / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} days`;
}

// The reasons of the last minutes, the most frequent first, each with its meaning and its number since the start.
export function bars(list, { recent, totals, explanations, nothing }) {
  const found = [...new Set([...Object.keys(recent), ...Object.keys(totals)])].map((reason) => ({
    name: readable(reason),
    means: explanations[reason] ?? "",
    now: recent[reason] ?? 0,
    all: totals[reason] ?? 0,
  }));
  found.sort((a, b) => b.now - a.now || b.all - a.all || a.name.localeCompare(b.name));
  // A last one alone is shown as itself.
  const shown = found.slice(0, found.length === BARS_MAX + 1 ? BARS_MAX + 1 : BARS_MAX);
  const rest = found.slice(shown.length);
  if (rest.length) {
    const sumOf = (name) => rest.reduce((total, each) => total + each[name], 0);
    shown.push({ name: "Other reasons", means: rest.map(({ name }) => name).join(", "), now: sumOf("now"), all: sumOf("all") });
  }
  const most = Math.max(1, ...shown.map(({ now }) => now));
  const items = shown.map(({ name, means, now, all }) => {
    const bar = make("i", { "aria-hidden": "true" });
    bar.style.inlineSize = `${(100 * now) / most}%`; // the CSSOM is no inline style to the policy
    return make(
      "li",
      {},
      bar,
      make("span", {}, make("b", {}, name), make("span", { className: "detail" }, means)),
      make("span", { className: "count" }, make("b", {}, number(now)), make("span", { className: "detail" }, `${number(all)} in all`)),
    );
  });
  fill(list, items.length ? items : [make("li", { className: "empty" }, nothing)]);
}

export function outcomes(copies) {
  const names = ["executed", "skipped", "failed"];
  const counts = names.map((name) => copies[name.toUpperCase()] ?? 0);
  const all = counts.reduce((a, b) => a + b, 0);
  names.forEach((name, index) => {
    text(name, number(counts[index]));
    text(`${name}-share`, all ? `${tenths.format((100 * counts[index]) / all)} %` : "");
    at("stack").children[index].style.flexGrow = counts[index];
  });
}

function row(title, [state, word], detail) {
  return make("li", {}, make("b", {}, title), make("span", { className: `chip ${state}` }, word), make("span", { className: "detail" }, detail));
}

// What is out of the ordinary with a shard, in words.
export function conditions({ stream_degraded: degraded, shedding_level: level, queue_down: down }) {
  return [
    degraded ? "Stream degraded: polling faster" : "",
    level ? `Load is shed, step ${level}` : "",
    down ? "Queue down: signals taken from the database" : "",
  ].filter(Boolean);
}

export function shards(list, found, { now, gauges }) {
  const items = found.map((shard) => {
    const silent = ago(now - Date.parse(shard.heartbeat_at));
    const state = shard.held ? ["good", "Running"] : shard.holder ? ["bad", "Heartbeat lost"] : ["off", "Nobody runs it"];
    const who = shard.holder ? `${shard.holder}, term ${shard.term}` : `term ${shard.term}`;
    const load = shard.held ? gauges[shard.shard] : null;
    const work = load ? ` · ${number(load.queue ?? 0)} queued, ${number(load.in_flight ?? 0)} in flight` : "";
    const configs = load && "configs" in load ? ` · ${number(load.configs)} configs` : "";
    const item = row(`Shard ${shard.shard}`, state, `${who} · heartbeat ${silent} ago${work}${configs}`);
    item.append(...conditions(load ?? {}).map((words) => make("span", { className: "chip skipped condition" }, words)));
    return item;
  });
  fill(list, items.length ? items : [make("li", { className: "empty" }, "No supervisor has run yet.")]);
}

const WAITING = {
  UNKNOWN: { words: ["order is being asked about", "orders are being asked about"], state: ["skipped", "No answer"] },
  PENDING: { words: ["order waits for the venue's answer", "orders wait for the venue's answer"], state: ["off", "Sent"] },
  LIVE: { words: ["order rests at the venue", "orders rest at the venue"], state: ["off", "Resting"] },
  MATCHED: { words: ["matched order waits for its confirmation", "matched orders wait for their confirmation"], state: ["off", "Matched"] },
};

// Orders whose end is not known yet, each state with a link to its copies. A line stays the same node while its age
// counts up, so that its link can be clicked and keeps the focus.
export function waiting(list, found, { now, url }) {
  const items = found.map(({ status, count, more, oldest_at }) => {
    const { words, state } = WAITING[status];
    const item = list.querySelector(`[data-status="${status}"]`) ?? row(make("a", { href: `${url}?status__exact=${status}` }), state, "");
    item.dataset.status = status;
    text(item.querySelector("a"), `${more ? "at least " : ""}${number(count)} ${words[count === 1 ? 0 : 1]}`);
    text(item.querySelector(".detail"), `${count === 1 ? "for" : "the oldest for"} ${ago(now - Date.parse(oldest_at))}`);
    return item;
  });
  if (!items.length) fill(list, [make("li", { className: "empty" }, "None: every order has its answer.")]);
  else if (items.length !== list.children.length || items.some((item, index) => item !== list.children[index])) list.replaceChildren(...items);
}

const whom = ({ scope, key }) => (scope === "GLOBAL" ? "everything" : `${scope.toLowerCase()} ${key}`);
const BREAKERS_MAX = 100; // what status.py gives

export function switches(list, found) {
  const items = found.map((each) => {
    const dry = each.kind === "DRY_RUN";
    const why = each.why ? ` · ${each.why}` : "";
    return row(`${dry ? "Dry run" : "Pause"}: ${whom(each)}`, ["skipped", "On"], `${each.who || "somebody"}, ${timeOfDay(each.at)}${why}`);
  });
  fill(list, items.length ? items : [make("li", { className: "empty" }, "None: nothing is held back.")]);
}

export function breakers(list, found, now) {
  const items = found.map((each) => {
    const state = each.state === "OPEN" ? ["bad", "Open"] : ["skipped", "Probing"];
    const wait = each.probe_at ? Date.parse(each.probe_at) - now : 0;
    const next = each.state === "OPEN" && each.probe_at ? ` · tries again ${wait > 0 ? `in ${ago(wait)}` : "now"}` : "";
    const who = each.who ? ` · by ${each.who}` : "";
    const since = each.at ? `since ${timeOfDay(each.at)}` : "";
    const why = each.why ? `${each.why} · ` : "";
    return row(`${readable(each.kind)}: ${whom(each)}`, state, `${why}${since}${next}${who}`);
  });
  if (items.length >= BREAKERS_MAX) {
    items.push(make("li", { className: "empty" }, `Only ${BREAKERS_MAX} are shown here.`));
  }
  fill(list, items.length ? items : [make("li", { className: "empty" }, "None is open: orders are answered as they should be.")]);
}
