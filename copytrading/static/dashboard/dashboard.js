// The dashboard: what is heard over the link becomes the picture, and the picture is drawn a few times a second.

import { ago, at, bars, number, outcomes, rate, shards, sparkline, switches, text, timeOfDay } from "./draw.js";
import { Link } from "./link.js";
import { Picture, count, ended, total, worst } from "./picture.js";
import * as trades from "./trades.js";

const TURN_MS = 250;
const NUDGE_MS = 1_000; // a socket that has just been lost is not worth a notice

const page = document.body.dataset;
const setting = (name) => Number(page[name]);
const picture = new Picture();
let held = false;
let busy = false; // while the switch is being thrown
let fresh = true; // something was heard since it was last drawn

const link = new Link({
  urls: { state: page.stateUrl, events: page.eventsUrl, status: page.statusUrl, socket: page.socketPath },
  setting,
  hear: {
    state: (state) => {
      picture.begin(state);
      fresh = true;
    },
    events: (events) => {
      events.forEach((event) => picture.add(event));
      if (events.some((event) => event.kind === "switch")) link.askStatus();
      const newest = events.findLast((event) => event.kind === "tick");
      if (newest && picture.status && newest.payload.paused !== picture.status.paused) link.askStatus();
      fresh ||= events.length > 0;
    },
    status: (status) => {
      picture.heard(status);
      fresh = true;
    },
  },
});

function figures() {
  const alive = picture.shards();
  const totals = picture.totals();
  text("signals", rate(picture.rate(count.signals)));
  text("copies", rate(picture.rate(count.copies)));
  text("signals-total", number(totals.signals));
  text("copies-total", number(ended(totals.copies)));
  text("p50", rate(worst(alive.map(count.p50))));
  text("p99", rate(worst(alive.map(count.p99))));
  text("longest", rate(worst(alive.map(count.longest))));
  text("in-flight", number(total(alive.map(count.inFlight))));
  text("queue", number(total(alive.map(count.queue))));
  sparkline("signals-spark", picture.series(count.signals), "Signals per second");
  sparkline("copies-spark", picture.series(count.copies), "Copies per second");
  sparkline("latency-spark", picture.gauge(count.p99), "Milliseconds at the 99th percentile");
  sparkline("flight-spark", picture.gauge(count.inFlight), "Orders in flight");
  outcomes(totals.copies);
  bars("skip-reasons", totals.skipped, "Nothing was skipped.");
  bars("fail-reasons", totals.failed, "Nothing failed.");
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
        : "Start a supervisor with `manage.py runsupervisor`. The pause can be set already.",
  );
  const button = at("switch-button");
  if (!button || busy) return;
  text(button, status.paused ? "Resume copying" : "Pause all copying");
  at("switch").action = status.paused ? page.resumeUrl : page.pauseUrl;
}

// What is wrong, the worst first: [level, short, title, sentence, since].
function trouble() {
  if (link.signedOut) return ["bad", "Signed out", "You are signed out.", "The figures below stand still since then.", link.brokenSince];
  if (link.brokenSince !== null) return ["bad", "No connection", "The server does not answer.", "Trying again by itself.", link.brokenSince];
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

function draw() {
  connection();
  if (!picture.status) return;
  command();
  shards(at("shards"), picture.status.shards, picture.now());
  figures();
  if (!fresh) return;
  fresh = false;
  switches(at("switches"), picture.status.switches);
  if (!held) trades.draw(picture.newestTrades());
}

async function throwSwitch(event) {
  event.preventDefault();
  if (busy || !picture.status) return;
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
  at("hold").setAttribute("aria-pressed", String(held));
  fresh = true;
});
setInterval(() => {
  link.turn();
  draw();
}, TURN_MS);
link.start();
