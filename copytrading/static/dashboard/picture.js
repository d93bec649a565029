// What the page knows: the last minutes by the second, the newest tick of each shard, the newest copies. No DOM here.

export const WINDOW_S = 300; // dashboard/history.py keeps as much for a page that opens
const LATE_S = 1; // an event is heard of so much later at the most
const ALIVE_MS = 10_000; // a shard that said nothing for so long has no gauges
const TRADES_MAX = 25;
const CLASS_RATIO = 1.1; // metrics.py: class n of a spread ends at this to the power of n
const COUNTS = ["copies", "skipped", "failed"];
const GAUGES = ["queue", "in_flight", "queue_max", "in_flight_max", "stream_degraded", "shedding_level", "queue_down", "configs"];
export const ENDED = ["EXECUTED", "SKIPPED", "FAILED"];

export const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
export const ended = (copies) => sum(ENDED.map((status) => copies[status] ?? 0));

const emptySpread = () => ({ counts: {}, max: 0 });
const nothing = () => ({ known: false, signals: 0, copies: {}, skipped: {}, failed: {}, delay: emptySpread(), stages: {}, gauges: {} });

function addCounts(total, counts) {
  for (const [name, count] of Object.entries(counts ?? {})) total[name] = (total[name] ?? 0) + count;
}

function addSpread(total, spread) {
  if (!spread) return;
  addCounts(total.counts, spread.counts);
  total.max = Math.max(total.max, spread.max);
}

// Counts and spreads add up. Of a gauge the highest stays, for each shard by itself.
function add(total, part) {
  total.known = true;
  total.signals += part.signals ?? 0;
  for (const name of COUNTS) addCounts(total[name], part[name]);
  addSpread(total.delay, part.delay);
  for (const [stage, spread] of Object.entries(part.stages ?? {})) addSpread((total.stages[stage] ??= emptySpread()), spread);
  for (const [shard, gauges] of Object.entries(part.gauges ?? {})) {
    const highest = (total.gauges[shard] ??= {});
    for (const [name, value] of Object.entries(gauges)) highest[name] = Math.max(highest[name] ?? 0, value);
  }
}

const gaugesOf = (tick) => Object.fromEntries(GAUGES.filter((name) => name in tick).map((name) => [name, tick[name]]));

// The sum of a gauge over all shards; null where no shard told it.
export function gauge(span, name) {
  const told = Object.values(span.gauges).filter((gauges) => name in gauges);
  return told.length ? sum(told.map((gauges) => gauges[name])) : null;
}

export const countOf = (spread) => sum(Object.values(spread.counts));

// The nearest rank among the classes; null without samples. Right to 5 %, and never above the longest.
export function percentile({ counts, max }, percent) {
  const classes = Object.keys(counts).map(Number).sort((a, b) => a - b);
  let left = Math.ceil((countOf({ counts }) * percent) / 100);
  for (const number of classes) {
    left -= counts[number];
    if (left <= 0) return Math.min(max, CLASS_RATIO ** (number - 0.5));
  }
  return null;
}

export class Picture {
  constructor() {
    this.status = null;
    this.clear();
  }

  clear() {
    this.seconds = new Map();
    this.newestTicks = new Map();
    this.sourcesOf = new Map(); // shard -> what its sources had delivered when it last told so
    this.trades = new Map();
    this.newestAt = null;
  }

  // The state replaces everything: it is read at the beginning and whenever the page fell too far behind.
  begin(state) {
    this.clear();
    this.status = null;
    this.heard(state.status, state.now);
    for (const tick of state.history) this.fold(Date.parse(tick.at), tick);
    for (const { at, payload, sources } of state.shards) {
      this.last(Date.parse(at), payload);
      if (sources) this.sourced(Date.parse(sources.at), payload.shard, sources.told);
    }
    this.told(state.newest);
  }

  // A status is as old as its reading: one that was read before the last one is no news. `now` is the answer's moment.
  heard(status, now = status.now) {
    this.serverOffset = Date.parse(now) - performance.now();
    if (!this.status || Date.parse(status.now) >= Date.parse(this.status.now)) this.status = status;
  }

  hear(event) {
    const at = Date.parse(event.created_at);
    this.newestAt = Math.max(this.newestAt ?? 0, at);
    if (event.kind !== "tick") return;
    this.fold(at, event.payload);
    this.last(at, event.payload);
    if (event.payload.sources) this.sourced(at, event.payload.shard, event.payload.sources);
  }

  fold(at, tick) {
    const second = Math.floor(at / 1_000);
    if (!this.seconds.has(second)) this.seconds.set(second, nothing());
    add(this.seconds.get(second), { ...tick, gauges: { [tick.shard]: gaugesOf(tick) } });
    for (const old of this.seconds.keys()) {
      if (old > second - WINDOW_S - 5) break;
      this.seconds.delete(old);
    }
  }

  last(at, payload) {
    this.newestAt = Math.max(this.newestAt ?? 0, at);
    this.newestTicks.set(payload.shard, { ...payload, at });
  }

  told(trades) {
    for (const trade of trades) this.trades.set(trade.id, trade);
    if (this.trades.size > 3 * TRADES_MAX) this.trades = new Map(this.newestTrades().map((trade) => [trade.id, trade]));
  }

  now() {
    return performance.now() + (this.serverOffset ?? 0);
  }

  newestTrades() {
    return [...this.trades.values()].sort((a, b) => b.id - a.id).slice(0, TRADES_MAX);
  }

  // The first second that is not over yet, as far as the page can know.
  edge() {
    return Math.floor(this.now() / 1_000) - LATE_S;
  }

  // What happened in these seconds, `until` not included.
  span(from, until) {
    const total = nothing();
    for (let second = from; second < until; second += 1) {
      const part = this.seconds.get(second);
      if (part) add(total, part);
    }
    return total;
  }

  lastSeconds(number) {
    return this.span(this.edge() - number, this.edge());
  }

  // The window in steps, oldest first; steps begin at multiples of their length, so that a chart only moves on.
  steps(length) {
    const until = Math.floor(this.edge() / length) * length;
    const found = [];
    for (let second = until - WINDOW_S; second < until; second += length) {
      found.push({ at: second * 1_000, seconds: length, ...this.span(second, second + length) });
    }
    return found;
  }

  // The newest word of every shard that still speaks; all of them when none does.
  gauges() {
    const all = [...this.newestTicks.values()];
    const alive = all.filter((tick) => tick.at > this.now() - ALIVE_MS);
    return { gauges: Object.fromEntries((alive.length ? alive : all).map((tick) => [tick.shard, gaugesOf(tick)])) };
  }

  sourced(at, shard, told) {
    this.sourcesOf.set(shard, { at, told });
  }

  // Every source over all shards: its counts add up, of lag and silence the worst stays. `freshMs` is null before the
  // first data; a shard that says nothing counts as long as no other one speaks.
  sources() {
    const shards = [...this.sourcesOf.values()];
    const alive = shards.filter(({ at }) => at > this.now() - ALIVE_MS);
    const found = new Map();
    for (const shard of shards) {
      for (const { name, counts, lag_p50_ms: p50, lag_p95_ms: p95, fresh_ms: fresh } of shard.told) {
        if (!found.has(name)) found.set(name, { name, counts: {}, p50: 0, p95: 0, freshMs: null });
        const source = found.get(name);
        addCounts(source.counts, counts);
        if (alive.length && !alive.includes(shard)) continue;
        source.p50 = Math.max(source.p50, p50);
        source.p95 = Math.max(source.p95, p95);
        if (fresh !== null) source.freshMs = Math.max(source.freshMs ?? 0, fresh + this.now() - shard.at);
      }
    }
    return [...found.values()];
  }

  totals() {
    const found = { signals: 0, copies: {}, skipped: {}, failed: {} };
    for (const { totals } of this.newestTicks.values()) {
      found.signals += totals?.signals ?? 0;
      for (const name of COUNTS) addCounts(found[name], totals?.[name]);
    }
    return found;
  }
}
