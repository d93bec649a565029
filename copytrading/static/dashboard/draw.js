// Puts values on the page. Everything that came from outside becomes text by textContent, never markup.

const SVG = "http://www.w3.org/2000/svg";
const whole = new Intl.NumberFormat();
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export const at = (id) => document.getElementById(id);
export const number = (value) => whole.format(Math.round(value));
export const rate = (value) => (value > 0 && value < 10 ? tenths.format(value) : number(value));
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

export function ago(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} days`;
}

// A line over the last minute with a soft area below; its label says in words what it shows.
export function sparkline(id, numbers, label) {
  const svg = at(id);
  const [width, height, pad] = [240, 44, 3];
  const peak = Math.max(...numbers, 0);
  const step = width / (numbers.length - 1);
  const y = (value) => height - pad - (peak ? (value / peak) * (height - 2 * pad) : 0);
  const line = numbers.map((value, index) => `${(index * step).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  if (!svg.firstChild) {
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.append(document.createElementNS(SVG, "polygon"), document.createElementNS(SVG, "polyline"));
  }
  svg.firstChild.setAttribute("points", `0,${height} ${line} ${width},${height}`);
  svg.lastChild.setAttribute("points", line);
  svg.setAttribute("aria-label", `${label} in the last minute: now ${rate(numbers.at(-1))}, highest ${rate(peak)}`);
}

export function bars(id, counts, nothing) {
  const list = at(id);
  const entries = [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  const shown = entries.slice(0, 7);
  const rest = entries.slice(7).reduce((sum, [, count]) => sum + count, 0);
  if (rest) shown.push(["Other reasons", rest]);
  const most = Math.max(1, ...shown.map(([, count]) => count));
  const items = shown.map(([reason, count]) => {
    const bar = make("i", { "aria-hidden": "true" });
    bar.style.inlineSize = `${Math.max(1, (100 * count) / most)}%`; // the CSSOM is no inline style to the policy
    return make("li", {}, bar, make("span", {}, readable(reason)), make("b", {}, number(count)));
  });
  fill(list, items.length ? items : [make("li", { className: "empty" }, nothing)]);
}

export function outcomes(copies) {
  const names = ["executed", "skipped", "failed"];
  const counts = names.map((name) => copies.get(name.toUpperCase()) ?? 0);
  const all = counts.reduce((a, b) => a + b, 0);
  names.forEach((name, index) => {
    text(name, number(counts[index]));
    text(`${name}-share`, all ? `${tenths.format((100 * counts[index]) / all)} %` : "");
    at("stack").children[index].style.flexGrow = counts[index];
  });
}

export function shards(list, found, now) {
  const items = found.map((shard) => {
    const silent = ago(now - Date.parse(shard.heartbeat_at));
    const [state, word] = shard.held ? ["good", "Running"] : shard.holder ? ["bad", "Heartbeat lost"] : ["off", "Nobody runs it"];
    const who = shard.holder ? `${shard.holder}, term ${shard.term}` : `term ${shard.term}`;
    return make(
      "li",
      {},
      make("b", {}, `Shard ${shard.shard}`),
      make("span", { className: `chip ${state}` }, word),
      make("span", { className: "detail" }, `${who} · heartbeat ${silent} ago`),
    );
  });
  fill(list, items.length ? items : [make("li", { className: "empty" }, "No supervisor has run yet.")]);
}

export function switches(list, found) {
  const items = found.map((each) => {
    const kind = each.kind === "DRY_RUN" ? "Dry run" : "Pause";
    const scope = each.scope === "GLOBAL" ? "everything" : `${each.scope.toLowerCase()} ${each.key}`;
    const why = each.why ? ` · ${each.why}` : "";
    return make(
      "li",
      {},
      make("b", {}, `${kind}: ${scope}`),
      make("span", { className: "detail" }, `${each.who || "somebody"}, ${timeOfDay(each.at)}${why}`),
    );
  });
  fill(list, items.length ? items : [make("li", { className: "empty" }, "None: nothing is held back.")]);
}
