// The parts of an answer as they are seen: words, thoughts, calls of tools, media and data.

import { icon, make } from "./elements.js";
import { MarkdownView, code, link, markdown, picture } from "./markdown.js";
import { words } from "./words.js";

/** What shows an item, and shows it again when it has changed: `element`, and `show(item, { live })`. */
export function viewOf(item) {
  return new VIEWS[item.kind]();
}

class TextView {
  constructor() {
    this._markdown = new MarkdownView();
    this.element = make("div", { class: "item text" }, this._markdown.element);
  }

  show({ text }, { live }) {
    this._markdown.show(text);
    this.element.classList.toggle("live", live);
  }
}

/** Something that is folded, with a line that says what it is. */
class Folded {
  constructor(kind, drawing) {
    this._title = make("span", { class: "fold-title" });
    this._hint = make("span", { class: "fold-hint" });
    this._mark = make("span", { class: "fold-mark" });
    this._body = make("div", { class: "fold-body" });
    const summary = make("summary", {}, icon(drawing), this._title, this._hint, this._mark, icon("chevron"));
    this.element = make("details", { class: `item fold ${kind}` }, summary, this._body);
  }
}

class ReasoningView extends Folded {
  constructor() {
    super("reasoning", "thought");
    this._markdown = new MarkdownView();
    this._body.append(this._markdown.element);
  }

  show({ text, seconds }, { live }) {
    this.element.classList.toggle("live", live);
    this._title.textContent = live ? words("thinking") : seconds >= 1 ? words("thoughtFor", Math.round(seconds)) : words("thought");
    this._hint.textContent = live ? text.slice(-200).replace(/\s+/g, " ").trim() : "";
    this._markdown.show(text);
  }
}

class CallView extends Folded {
  constructor() {
    super("call", "tool");
    this._shown = "";
  }

  show(call, { live }) {
    const { name, args, output, failed, partial, isQuestion } = call;
    if (isQuestion) this.element.open = true;
    this._title.textContent = isQuestion ? words("asks") : name;
    this._hint.textContent = isQuestion ? "" : preview(args);
    this._state(output === undefined || partial ? (live ? "calling" : isQuestion ? "" : "callOpen") : failed ? "callFailed" : "called");
    const now = JSON.stringify([args, output]);
    if (now === this._shown) return;
    this._shown = now;
    this._body.replaceChildren(...labelled(isQuestion ? "details" : "arguments", args && pretty(args)), ...labelled("result", output !== undefined && pretty(output)));
  }

  _state(state) {
    this.element.dataset.state = state;
    this._mark.textContent = state && words(state);
  }
}

function labelled(name, text) {
  if (text === false || text === "") return [];
  return [make("div", { class: "label" }, words(name)), code(text, isJson(text) ? "json" : "")];
}

function preview(args) {
  const found = parsed(args);
  if (found === null || typeof found !== "object") return args.slice(0, 160);
  return Object.entries(found).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ").slice(0, 160);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isJson(text) {
  return /^\s*[[{]/.test(text) && parsed(text) !== null;
}

function pretty(text) {
  const found = /^\s*[[{]/.test(text) ? parsed(text) : null;
  return found === null ? text : JSON.stringify(found, null, 2);
}

class DataView_ extends Folded {
  constructor() {
    super("data", "events");
  }

  show({ name, value }) {
    this._title.textContent = name === "state" ? words("state") : String(name);
    this._hint.textContent = preview(JSON.stringify(value) ?? "");
    this._body.replaceChildren(code(JSON.stringify(value, null, 2) ?? "", "json"));
  }
}

class MediaView {
  constructor() {
    this.element = make("div", { class: "item media" });
  }

  show(item) {
    this.element.replaceChildren(medium(item));
  }
}

class QuestionView {
  constructor() {
    this.element = make("div", { class: "item question" }, icon("question"));
    this._text = make("div");
    this.element.append(this._text);
  }

  show({ text }) {
    this._text.replaceChildren(markdown(text));
  }
}

const VIEWS = { text: TextView, reasoning: ReasoningView, call: CallView, data: DataView_, media: MediaView, question: QuestionView };

/** An image, sound, video or file. Only what the page has itself is shown, what is elsewhere is a link. */
export function medium({ media, url, name }) {
  const label = name || words(media);
  if (!url) return fileChip(words("notKept", label));
  if (media === "image") return picture(url, label);
  if (!url.startsWith("data:")) return link(url, [icon("file"), label]);
  if (media === "audio") return make("audio", { src: url, controls: true, "aria-label": label });
  if (media === "video") return make("video", { src: url, controls: true, "aria-label": label });
  return make("a", { href: url, download: name || "file", class: "file-chip" }, icon("file"), label);
}

export function fileChip(label) {
  return make("span", { class: "file-chip" }, icon("file"), label);
}
