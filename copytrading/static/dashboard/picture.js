// What the page knows: the last minute of ticks, the newest tick of each shard, the newest copies. No DOM here.

export const WINDOW_S = 60;
const RATE_S = 5;
const LATE_MS = 1_000; // an event is heard of so much later at the most
const TRADES_MAX = 40;
const TICKS_MAX = 4_000; // a minute of sixteen shards
const ENDED = ["EXECUTED", "SKIPPED", "FAILED"];

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

function merged(parts) {
  const found = new Map();
  for (const counts of parts) {
    for (const [name, count] of Object.entries(counts ?? {})) found.set(name, (found.get(name) ?? 0) + count);
  }
  return found;
}

export class Picture {
  constructor() {
    this.status = null;
    this.clear();
  }

  clear() {
    this.ticks = [];
    this.newestTicks = new Map();
    this.trades = new Map();
    this.newestAt = null;
  }

  // The state replaces everything: it is read at the beginning and whenever the page fell too far behind.
  begin(state) {
    this.clear();
    this.heard(state.status);
    for (const { created_at: at, payload } of state.history) this.tick(Date.parse(at), payload);
    for (const trade of state.newest) this.trades.set(trade.id, trade);
  }

  heard(status) {
    this.status = status;
    this.serverOffset = Date.parse(status.now) - performance.now();
  }

  add(event) {
    const at = Date.parse(event.created_at);
    if (event.kind === "tick") this.tick(at, event.payload);
    else this.newestAt = Math.max(this.newestAt ?? 0, at);
  }

  tick(at, payload) {
    this.newestAt = Math.max(this.newestAt ?? 0, at);
    this.ticks.push({ at, ...payload });
    this.newestTicks.set(payload.shard, { at, ...payload });
    for (const trade of payload.newest ?? []) this.trades.set(trade.id, trade);
    if (this.ticks.length > TICKS_MAX) this.ticks.splice(0, this.ticks.length - TICKS_MAX);
    if (this.trades.size > 3 * TRADES_MAX) {
      this.trades = new Map(this.newestTrades().map((trade) => [trade.id, trade]));
    }
  }

  now() {
    return performance.now() + (this.serverOffset ?? 0);
  }

  newestTrades() {
    return [...this.trades.values()].sort((a, b) => b.id - a.id).slice(0, TRADES_MAX);
  }

  // How many a second, over the last five that were heard of.
  rate(count) {
    const until = Math.max(this.newestAt ?? 0, this.now() - LATE_MS);
    return sum(this.ticks.filter((tick) => tick.at > until - RATE_S * 1_000).map(count)) / RATE_S;
  }

  // One number for each whole second of the last minute, oldest first.
  series(count) {
    return this.seconds(count, 0, (before, number) => (before ?? 0) + number);
  }

  // The same for something that stands until the next tick: the highest of each second.
  gauge(count) {
    return this.seconds(count, null, (before, number) => Math.max(before ?? 0, number));
  }

  seconds(count, empty, combine) {
    const found = new Array(WINDOW_S).fill(null);
    const newest = Math.floor((this.now() - LATE_MS) / 1_000);
    for (const tick of this.ticks) {
      const index = WINDOW_S - 1 - (newest - Math.floor(tick.at / 1_000));
      if (index >= 0 && index < WINDOW_S) found[index] = combine(found[index], count(tick));
    }
    let last = 0;
    return found.map((number) => (last = number ?? empty ?? last));
  }

  // The newest word of every shard that still speaks; all of them when none does.
  shards() {
    const all = [...this.newestTicks.values()];
    const alive = all.filter((tick) => tick.at > this.now() - 10_000);
    return alive.length ? alive : all;
  }

  totals() {
    const parts = [...this.newestTicks.values()].map((tick) => tick.totals ?? {});
    return {
      signals: sum(parts.map((part) => part.signals ?? 0)),
      copies: merged(parts.map((part) => part.copies)),
      skipped: merged(parts.map((part) => part.skipped)),
      failed: merged(parts.map((part) => part.failed)),
    };
  }
}

export const count = {
  signals: (tick) => tick.signals ?? 0,
  copies: (tick) => sum(ENDED.map((status) => tick.copies?.[status] ?? 0)),
  p50: (tick) => tick.latency_ms?.p50 ?? 0,
  p99: (tick) => tick.latency_ms?.p99 ?? 0,
  longest: (tick) => tick.latency_ms?.max ?? 0,
  queue: (tick) => tick.queue ?? 0,
  inFlight: (tick) => tick.in_flight ?? 0,
};

export const worst = (numbers) => Math.max(0, ...numbers);
export const total = (numbers) => sum(numbers);
export const ended = (copies) => sum(ENDED.map((status) => copies.get(status) ?? 0));
