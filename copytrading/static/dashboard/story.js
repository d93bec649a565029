// The story of one copy, in a dialog that does not move with the list: the browser keeps the keyboard in it, closes it
// on Escape, and gives the focus back to the button that opened it.

import { at, make, number, text, timeOfDay } from "./draw.js";
import { statusWords } from "./trades.js";

const elapsed = (milliseconds) => (milliseconds < 10_000 ? `${number(milliseconds)} ms` : `${number(milliseconds / 1_000)} s`);

function why({ title, text: seen, means, note }) {
  const words = make("span", {}, make("b", {}, note ? `Note: ${title}` : title), seen ? ` ${seen}` : "");
  return make("li", {}, words, make("span", { className: "detail" }, means));
}

function step({ name, at: moment, after_ms: after, text: told, why: reasons }) {
  const when = [moment ? timeOfDay(moment) : "", after === null ? "" : `after ${elapsed(after)}`].filter(Boolean).join(" · ");
  const heading = make("h3", {}, name, when ? make("small", {}, ` ${when}`) : "");
  return make("li", {}, heading, make("p", {}, told), reasons.length ? make("ul", { className: "why" }, ...reasons.map(why)) : "");
}

export class StoryDialog {
  constructor(urlOf, setting) {
    Object.assign(this, { urlOf, setting });
    this.dialog = at("story");
    this.wanted = null;
    at("story-close").addEventListener("click", () => this.dialog.close());
    // A click beside the dialog is one on its backdrop, which is the dialog itself.
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  async open(id) {
    this.wanted = id;
    this.blank("Reading …");
    if (!this.dialog.open) this.dialog.showModal();
    try {
      const answer = await fetch(this.urlOf(id), {
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout(this.setting("fetchMsMax")),
      });
      const told = await answer.json();
      if (this.wanted !== id) return;
      if (answer.ok) this.tell(told);
      else this.blank(told.error);
    } catch {
      if (this.wanted === id) this.blank("The server does not answer. Close this and try again.");
    }
  }

  blank(sentence) {
    text("story-heading", "Copy");
    text("story-market", sentence);
    at("story-steps").replaceChildren();
    at("story-foot").hidden = true;
  }

  tell(told) {
    text("story-heading", told.headline);
    text("story-market", told.market);
    const chip = make("span", { className: `chip ${told.status.toLowerCase()}` }, statusWords(told.status));
    at("story-market").append(" ", chip);
    at("story-steps").replaceChildren(...told.steps.map(step));
    text("story-total", `${elapsed(told.total_ms)} from seen to ${told.status === "EXECUTED" ? "filled" : "decided"}`);
    at("story-admin").href = told.admin_url;
    at("story-foot").hidden = false;
  }
}
