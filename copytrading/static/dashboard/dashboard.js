// The dashboard: what is heard over the link becomes the picture, and the picture is drawn a few times a second.

import { Chart, sparkline } from "./chart.js";
import { ago, at, bars, breakers, milliseconds, number, outcomes, rate, shards, switches, text, timeOfDay, waiting } from "./draw.js";
import { Link } from "./link.js";
import { Picture, countOf, ended, gauge, percentile } from "./picture.js";
import { QualityTable } from "./quality.js";
import * as sources from "./sources.js";
import { StoryDialog } from "./story.js";
import * as trades from "./trades.js";

const TURN_MS = 250;
const NUDGE_MS = 1_000; // a socket that has just been lost is not worth a notice
const CHARTS_MS = 1_000;
const RATE_S = 5; // what "per second" is the mean of
const LATENCY_S = 60; // what "the last minute" is
const REASONS_S = 300;

const page = document.body.dataset;
const setting = (name) => Number(page[name]);
const explanations = JSON.parse(at("explanations").textContent);
const picture = new Picture();
let held = false;
let busy = false; // while the switch is being thrown
let fresh = true; // something was heard since it was last drawn
let chartedAt = -Infinity;

const link = new Link({
  urls: { state: page.stateUrl, events: page.eventsUrl, status: page.statusUrl, socket: page.socketPath },
  setting,
  hear: {
    state: (state) => {
      picture.begin(state);
      fresh = true;
    },
    page: ({ events, newest, status, now }) => {
      events.forEach((event) => picture.hear(event));
      picture.told(newest);
      picture.heard(status, now);
      const last = events.findLast((event) => event.kind === "tick");
      if (last && last.payload.paused !== status.paused) link.askStatus();
      fresh = true;
    },
    status: (status) => {
      picture.heard(status);
      fresh = true;
    },
  },
});

const story = new StoryDialog((id) => page.tradeUrl.replace(/0$/, id), setting);

const quality = new QualityTable(page.qualityUrl, setting, explanations);

const perSecond = (status) => (step) => (step.copies[status] ?? 0) / step.seconds;
const latency = (percent) => (step) => percentile(step.delay, percent);
const charts = [
  new Chart(at("rates"), {
    stacked: true,
    unit: "copies per second",
    nowS: RATE_S,
    show: rate,
    series: [
      { name: "Executed", className: "executed", value: perSecond("EXECUTED") },
      { name: "Skipped", className: "skipped", value: perSecond("SKIPPED") },
      { name: "Failed", className: "failed", value: perSecond("FAILED") },
    ],
  }),
  new Chart(at("latency"), {
    unit: "milliseconds",
    nowS: 10,
    show: rate,
    series: [
      { name: "p50", className: "p50", value: latency(50) },
      { name: "p90", className: "p90", value: latency(90) },
      { name: "p99", className: "p99", value: latency(99) },
    ],
  }),
];

function drawCharts() {
  for (const chart of charts) chart.update(picture.steps(chart.stepLength()), picture.lastSeconds(chart.nowS));
  const steps = picture.steps(5);
  sparkline(at("signals-spark"), steps.map((step) => (step.known ? step.signals / step.seconds : null)), { label: "Signals per second", show: rate });
  const bounds = picture.gauges();
  sparkline(at("queue-spark"), steps.map((step) => gauge(step, "queue")), { label: "Signals in the queue", show: number, bound: gauge(bounds, "queue_max") });
  sparkline(at("flight-spark"), steps.map((step) => gauge(step, "in_flight")), { label: "Orders in flight", show: number, bound: gauge(bounds, "in_flight_max") });
}

function gauges() {
  const now = picture.gauges();
  for (const [id, name, words] of [["queue", "queue", "signals wait"], ["in-flight", "in_flight", "orders under way"]]) {
    const [value, most] = [gauge(now, name), gauge(now, `${name}_max`)];
    text(id, value === null ? "–" : number(value));
    text(`${id}-foot`, most ? `of at most ${number(most)} ${words}${value > 0 ? ` (${Math.ceil((100 * value) / most)} %)` : ""}` : words);
  }
}

function figures() {
  const second = picture.lastSeconds(RATE_S);
  const minute = picture.lastSeconds(LATENCY_S);
  const totals = picture.totals();
  text("copies", rate(ended(second.copies) / RATE_S));
  text("copies-total", number(ended(totals.copies)));
  text("p50", milliseconds(percentile(minute.delay, 50)));
  text("p99", milliseconds(percentile(minute.delay, 99)));
  text("longest", countOf(minute.delay) ? rate(minute.delay.max) : "–");
  text("signals", rate(second.signals / RATE_S));
  text("signals-total", number(totals.signals));
  gauges();
  outcomes(totals.copies);
  const recent = picture.lastSeconds(REASONS_S);
  bars(at("skip-reasons"), { recent: recent.skipped, totals: totals.skipped, explanations, nothing: "Nothing was skipped." });
  bars(at("fail-reasons"), { recent: recent.failed, totals: totals.failed, explanations, nothing: "Nothing failed." });
  for (const line of document.querySelectorAll("#stages tr")) {
    const spread = minute.stages[line.dataset.stage] ?? { counts: {}, max: 0 };
    const count = countOf(spread);
    const percentiles = [50, 90, 99].map((percent) => milliseconds(percentile(spread, percent)));
    [number(count), ...percentiles, count ? rate(spread.max) : "–"].forEach((value, index) => text(line.cells[index + 1], value));
  }
}

function command() {
  const { status } = picture;
  const global = status.switches.find((each) => each.kind === "PAUSE" && each.scope === "GLOBAL");
  const runs = status.shards.some((shard) => shard.held);
  at("command").dataset.paused = status.paused ? "yes" : runs ? "no" : "idle";
  text("trading", status.paused ? "Copying is paused" : runs ? "Copying" : "No engine is running");
  const who = global?.who || "somebody";
  text(
    "trading-detail",
    status.paused
      ? `By ${who} at ${timeOfDay(global.at)}${global.why ? `: ${global.why}` : ""}. Signals are recorded, nothing is sent.`
      : runs
        ? "Signals are decided and copied. The pause stops every send within a second."
        : "Nothing is copied until a supervisor runs. The pause can be set already.",
  );
  at("no-engine").hidden = runs;
  at("no-leaders").hidden = status.has_leaders;
  at("no-configs").hidden = !status.has_leaders || status.has_configs;
  at("setup").hidden = runs && status.has_configs;
  const button = at("switch-button");
  if (!button || busy) return;
  const form = at("switch");
  form.hidden = status.paused && form.dataset.mayResume !== "yes";
  at("no-resume").hidden = !form.hidden;
  text(button, status.paused ? "Resume copying" : "Pause all copying");
  form.action = status.paused ? page.resumeUrl : page.pauseUrl;
}

// What is wrong, the worst first: [level, short, title, sentence, since].
function trouble() {
  if (link.signedOut) return ["bad", "No access", "You are signed out, or may no longer look.", "The figures below stand still since then.", link.brokenSince];
  if (link.brokenSince !== null) {
    const soon = link.retryFetchInMs() > 1_000 ? ` in ${ago(link.retryFetchInMs())}` : "";
    return ["bad", "Reconnecting", "The server does not answer.", `Trying again by itself${soon}.`, link.brokenSince];
  }
  if (!picture.status) return ["wait", "Connecting", "", "", null];
  const slack = Math.max(0, link.paceMs - 500); // many open pages share the hints
  const silentMs = picture.now() - (picture.newestAt ?? 0);
  if (picture.newestAt === null) return ["bad", "Stale", "The engine has not reported yet.", "Nothing below is live.", null];
  if (silentMs > setting("staleMs") + slack) {
    return ["bad", "Stale", "No news from the engine.", "The figures below are the last known.", Date.now() - silentMs];
  }
  if (!link.socketOpen() && link.lostSince !== null && Date.now() - link.lostSince > NUDGE_MS) {
    const soon = `Polling meanwhile; trying the socket again in ${ago(link.retryInMs())}.`;
    return ["warn", "Polling", "The live connection is lost.", soon, link.lostSince];
  }
  return ["good", "Live", "", "", null];
}

let spoken = "";

function connection() {
  const [level, short, title, sentence, since] = trouble();
  at("link").dataset.level = level;
  text("link-text", short);
  const state = level === "good" ? { yes: "Paused", no: "Copying", idle: "No engine" }[at("command").dataset.paused] : short;
  if (document.title !== `${state} · Slipstream`) document.title = `${state} · Slipstream`;
  document.body.classList.toggle("stale", level === "bad");
  at("notice").hidden = title === "";
  at("notice").dataset.level = level;
  text("notice-title", title);
  text("notice-text", since === null ? sentence : `Since ${timeOfDay(since)}, ${ago(Date.now() - since)} ago. ${sentence}`);
  at("sign-in").hidden = !link.signedOut;
  // Spoken once for each change, without the seconds that count up.
  if (short === spoken || level === "wait") return;
  const first = spoken === "";
  spoken = short;
  if (level !== "good") text("spoken", since === null ? title : `${title} Since ${timeOfDay(since)}.`);
  else text("spoken", first ? "The figures are live." : "The figures are live again.");
}

// The list stands still on demand, and while somebody is in it: what has the focus must not move away.
function holdList() {
  const inside = at("newest").contains(document.activeElement);
  const button = at("hold");
  button.setAttribute("aria-pressed", String(held));
  text(button, held ? "Release the list" : inside ? "Held while you are in it" : "Hold the list");
  return held || inside;
}

function draw() {
  if (picture.status) command();
  connection();
  if (!picture.status) return;
  shards(at("shards"), picture.status.shards, { now: picture.now(), gauges: picture.gauges().gauges });
  breakers(at("breakers"), picture.status.breakers, picture.now());
  waiting(at("waiting"), picture.status.waiting, { now: picture.now(), url: page.copiesUrl });
  sources.draw(picture.sources());
  const still = holdList();
  if (performance.now() - chartedAt >= CHARTS_MS && !document.hidden) {
    chartedAt = performance.now();
    drawCharts();
    figures();
  }
  if (!fresh) return;
  fresh = false;
  figures();
  switches(at("switches"), picture.status.switches);
  if (!still) trades.draw(picture.newestTrades());
}

async function throwSwitch(event) {
  event.preventDefault();
  if (busy) return;
  const [form, button] = [event.currentTarget, at("switch-button")];
  busy = true;
  button.setAttribute("aria-disabled", "true");
  text("switch-error", "");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(setting("fetchMsMax")),
    });
    if (!answer.ok) throw new Error(answer.status === 403 ? "You may not do this; reload the page or sign in." : `The server answered ${answer.status}.`);
    picture.heard(await answer.json());
    fresh = true;
    at("why").value = "";
    text("spoken", picture.status.paused ? "Copying is paused." : "Copying is resumed.");
  } catch (problem) {
    text("switch-error", `Nothing is certain: ${problem.message} The state above is asked for again.`);
    link.askStatus();
  } finally {
    busy = false;
    button.removeAttribute("aria-disabled");
    draw();
  }
}

at("switch")?.addEventListener("submit", throwSwitch);
at("hold").addEventListener("click", () => {
  held = !held;
  fresh = true;
  draw();
});
at("newest").addEventListener("focusout", () => (fresh = true));
at("newest").addEventListener("click", (event) => {
  const opener = event.target.closest("tr")?.querySelector(".opener");
  if (!opener || getSelection().toString()) return;
  opener.focus();
  story.open(opener.dataset.trade);
});
new ResizeObserver(() => (chartedAt = -Infinity)).observe(at("rates"));
setInterval(() => {
  link.turn();
  quality.turn();
  draw();
}, TURN_MS);
link.start();
