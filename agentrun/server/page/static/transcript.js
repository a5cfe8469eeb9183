// The conversation as it is seen.

import { textOf } from "./answer.js";
import { copyButton, icon, iconButton, make, perFrame } from "./elements.js";
import { fileChip, medium, viewOf } from "./items.js";
import { picture } from "./markdown.js";
import { PROTOCOLS } from "./protocols/index.js";
import { words } from "./words.js";

// How far from the end somebody may be who still reads along.
const NEAR_END = 80;

export class Transcript {
  /** `onagain` asks the last question again, `ontrace` shows the trace of an answer. */
  constructor(element, { name, description, onagain, ontrace }) {
    this.element = element;
    this._agent = { name, description };
    this._acts = { onagain, ontrace };
    this._follows = true;
    this._list = make("div", { class: "messages" });
    this._jump = iconButton("down", "", () => this.toEnd(), { class: "icon-button jump", hidden: true });
    element.replaceChildren(this._list, this._jump);
    element.addEventListener("scroll", () => this._noticePlace(), { passive: true });
    new ResizeObserver(() => this._follow()).observe(this._list);
  }

  /** Shows a whole conversation; `running` is the answer in it that still comes. */
  show(messages, running = null) {
    this._jump.title = words("jump");
    this._jump.setAttribute("aria-label", words("jump"));
    this._views = messages.map((message) => this._make(message, { running: message === running }));
    this._list.replaceChildren(...(this._views.length ? this._views.map((view) => view.element) : [this._welcome()]));
    this._markLast();
    this.toEnd();
  }

  add(message, state = {}) {
    if (!this._views.length) this._list.replaceChildren();
    const view = this._make(message, state);
    this._views.push(view);
    this._list.append(view.element);
    this._markLast();
    this.toEnd();
  }

  /** What shows an answer, if it is in the conversation that is shown. */
  viewOf(answer) {
    return this._views.find((view) => view instanceof AnswerMessage && view.answer === answer);
  }

  removeLast() {
    this._views.pop()?.element.remove();
    this._markLast();
  }

  toEnd() {
    this._follows = true;
    this._follow();
  }

  _make(message, state) {
    return message.role === "user" ? new QuestionMessage(message) : new AnswerMessage(message, this._acts, state);
  }

  _markLast() {
    this._views.forEach((view, index) => view.element.classList.toggle("last", index === this._views.length - 1));
  }

  _welcome() {
    const { name, description } = this._agent;
    const face = make("div", { class: "face" }, icon("face"));
    return make("div", { class: "welcome" }, face, make("h2", {}, words("welcome")), make("p", {}, description || words("welcomeHint", name)));
  }

  _noticePlace() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    const size = `${scrollHeight} ${clientHeight}`;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    // When something grew or shrank, it was the browser that moved.
    if (isAtEnd || size === this._size) this._follows = isAtEnd;
    this._size = size;
    this._jump.hidden = this._follows;
  }

  _follow() {
    if (this._follows) this.element.scrollTop = this.element.scrollHeight;
    this._noticePlace();
  }
}

class QuestionMessage {
  constructor(message) {
    const text = message.parts.filter((part) => part.kind === "text").map((part) => part.text).join("\n");
    const files = message.parts.filter((part) => part.kind !== "text");
    this.element = make("article", { class: "message question-message", "aria-label": words("you") });
    if (files.length) this.element.append(make("div", { class: "attachments" }, ...files.map(attached)));
    if (text) this.element.append(make("div", { class: "bubble" }, text));
  }
}

function attached({ kind, url, name }) {
  if (!url) return fileChip(words("notKept", name));
  if (kind === "image") return picture(url, name);
  return kind === "audio" ? medium({ media: "audio", url, name }) : fileChip(name);
}

class AnswerMessage {
  constructor(answer, acts, { running = false } = {}) {
    this.answer = answer;
    this._acts = acts;
    this._views = [];
    this._items = make("div", { class: "items" });
    this._foot = make("footer", { class: "foot" });
    this.element = make("article", { class: "message answer-message", "aria-label": words("agent") }, this._items, this._foot);
    this.running = running;
    this.showSoon = perFrame(() => this._show());
    this._notice = "";
    this._show();
  }

  /** Shows how it is now; `notice` says what the page does about it. */
  show({ running, notice = "" }) {
    this.running = running;
    this._notice = notice;
    this.showSoon.flush();
  }

  _show() {
    const { items } = this.answer;
    this.element.setAttribute("aria-busy", String(this.running));
    items.forEach((item, index) => this._showItem(item, index, items));
    this.element.classList.toggle("waiting", this.running && !items.length);
    this._foot.replaceChildren(...(this.running ? this._working() : this._ended()));
  }

  _showItem(item, index, items) {
    if (!this._views[index]) {
      this._views[index] = viewOf(item);
      this._items.append(this._views[index].element);
    }
    const live = this.running && (index === items.length - 1 || item.kind === "call");
    // What came before the last item is complete, and was shown so.
    const state = `${live} ${item.kind === "text" || item.kind === "reasoning" ? item.text.length : JSON.stringify(item).length}`;
    if (this._views[index].state !== state) this._views[index].show(item, { live });
    this._views[index].state = state;
  }

  _working() {
    const last = this.answer.items.at(-1);
    if (this._notice) return [this._noticeLine()];
    const isQuiet = !last || (last.kind === "call" && last.output !== undefined) || last.kind === "media";
    return isQuiet ? [make("span", { class: "dots", role: "img", "aria-label": words("working") }, make("i"), make("i"), make("i"))] : [];
  }

  _ended() {
    const { error, stopped, items } = this.answer;
    const parts = [];
    if (error) parts.push(this._error(error));
    if (this._notice) parts.push(this._noticeLine());
    if (stopped) parts.push(make("p", { class: "ended" }, words(stopped === "agent" ? "stoppedByAgent" : "stopped")));
    else if (!error && !items.length) parts.push(make("p", { class: "ended" }, words("empty")));
    return [...parts, this._facts()];
  }

  _noticeLine() {
    return make("p", { class: "notice" }, make("span", { class: "spinner" }), this._notice);
  }

  _error({ reason, detail }) {
    const again = make("button", { type: "button", class: "button", onclick: () => this._acts.onagain() }, icon("again"), words("retry"));
    const text = make("div", { class: "error-text" }, make("strong", {}, words(reason)));
    if (detail) text.append(make("p", { class: "error-detail" }, detail));
    return make("div", { class: "error", role: "alert" }, icon("warning"), text, again);
  }

  _facts() {
    const { protocol, seconds, usage, error } = this.answer;
    const facts = [PROTOCOLS[protocol]?.label ?? protocol];
    if (seconds !== undefined) facts.push(words("seconds", seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)));
    if (usage) facts.push(words("tokens", usage.input, usage.output));
    const line = make("span", { class: "facts-text" }, facts.join(" · "));
    const text = textOf(this.answer);
    const copy = text ? copyButton(words("copyAnswer"), words("copied"), () => text) : null;
    const again = error ? null : iconButton("again", words("again"), () => this._acts.onagain(), { class: "icon-button again" });
    const trace = this.answer.trace ? iconButton("trace", words("showTrace"), () => this._acts.ontrace(this.answer)) : null;
    return make("div", { class: "facts" }, copy, again, trace, line);
  }
}
