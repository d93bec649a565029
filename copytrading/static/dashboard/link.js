// The page's line to the server. The socket only says that there is news; the news come by HTTP, from a sequence
// on. So whatever is lost, slow or late, the next fetch continues where the last one ended.

const CLOSE_NOT_ALLOWED = 4403;

export class Link {
  // `hear` is told: state(state), page(page) of events, status(status). `setting(name)` is a number of milliseconds.
  constructor({ urls, setting, hear }) {
    Object.assign(this, { urls, setting, hear });
    this.last = null; // the sequence up to which the page has heard everything
    this.fetching = false;
    this.again = false;
    this.failures = 0; // of fetches, in a row
    this.attempts = 0; // of the socket, in a row
    this.signedOut = false;
    this.paceMs = 0;
    this.fetchedAt = performance.now();
    this.statusAt = 0;
    this.brokenSince = null; // when fetches began to fail, by the wall clock
    this.lostSince = Date.now(); // when the socket was lost
    this.nextTry = performance.now();
    this.nextFetch = 0;
    this.socket = null;
  }

  start() {
    this.connect();
    this.catchUp();
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  // Called a few times a second: the one place that decides when to try again.
  turn() {
    const now = performance.now();
    if (!this.socket && now >= this.nextTry) this.connect();
    // While hints come, a fetch of the page's own is for the case that one was lost.
    const every = this.socketOpen() ? Math.max(this.setting("quietPollMs"), 2 * this.paceMs) : this.setting("pollMs");
    if (now >= Math.max(this.fetchedAt + every, this.nextFetch)) this.catchUp();
    if (!this.failures && now >= this.statusAt + Math.max(this.setting("statusMs"), 2 * this.paceMs)) this.askStatus();
  }

  hurry() {
    this.attempts = 0;
    this.nextTry = this.nextFetch = 0;
    this.catchUp();
    this.askStatus(); // after a sleep of the machine the clocks have to be compared again
    this.turn();
  }

  socketOpen() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN;
  }

  retryInMs() {
    return Math.max(0, this.nextTry - performance.now());
  }

  retryFetchInMs() {
    return Math.max(0, this.nextFetch - performance.now());
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.urls.socket}`);
    this.socket = socket;
    socket.onopen = () => {
      this.lostSince = null;
    };
    socket.onmessage = ({ data }) => this.hint(socket, JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.lostSince ??= Date.now();
      this.nextTry = performance.now() + this.backoff(this.attempts++);
      if (code === CLOSE_NOT_ALLOWED) this.catchUp(); // the answer to a fetch says whether we are signed out
    };
  }

  hint(socket, { type, sequence, pace_ms: paceMs }) {
    if (type !== "hint") return;
    this.attempts = 0;
    this.paceMs = paceMs;
    socket.send(JSON.stringify({ type: "ack", sequence }));
    if (sequence !== this.last) this.catchUp();
  }

  // Capped, and jittered so that a restarted server does not meet every page in the same moment.
  backoff(attempt) {
    const longest = Math.min(this.setting("retryMsMax"), this.setting("retryMsMin") * 2 ** Math.min(attempt, 16));
    return longest * (0.5 + Math.random() / 2);
  }

  // One fetch at a time; what is asked for meanwhile is one more fetch.
  async catchUp() {
    if (this.fetching) {
      this.again = true;
      return;
    }
    this.fetching = true;
    try {
      do {
        this.again = false;
        await (this.last === null ? this.begin() : this.resume());
      } while (this.again);
      this.failures = 0;
      this.brokenSince = null;
      this.signedOut = false;
    } catch (problem) {
      this.again = false;
      this.brokenSince ??= Date.now();
      this.signedOut = problem.status === 403;
      this.nextFetch = performance.now() + this.backoff(this.failures++);
    }
    this.fetchedAt = performance.now();
    this.fetching = false;
  }

  async begin() {
    const state = await this.get(this.urls.state);
    this.last = state.last;
    this.statusAt = performance.now();
    this.hear.state(state);
  }

  async resume() {
    const page = await this.get(`${this.urls.events}?after=${this.last}`);
    if (page.behind) {
      await this.begin();
      return;
    }
    this.last = page.last;
    this.statusAt = performance.now(); // the page brought it along
    this.hear.page(page);
  }

  async askStatus() {
    this.statusAt = performance.now();
    try {
      this.hear.status(await this.get(this.urls.status));
    } catch {
      this.catchUp(); // which notices and says so
    }
  }

  async get(url) {
    const answer = await fetch(url, {
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(this.setting("fetchMsMax")),
    });
    if (!answer.ok) throw Object.assign(new Error(`The server answered ${answer.status}.`), { status: answer.status });
    return answer.json();
  }
}
