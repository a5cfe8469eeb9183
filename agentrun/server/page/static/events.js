// Everything that travels between the page and an agent, as it is.

import { copyButton, iconButton, make, perFrame } from "./elements.js";
import { words } from "./words.js";

const MOST_KEPT = 5000;
const MOST_SHOWN = 400;

/** A view of the drawer. */
export class Events {
  label = "rawEvents";

  constructor() {
    this._isSeen = false;
    this._notes = [];
    this._first = 0;
    this._began = 0;
    this._showSoon = perFrame(() => this._show());
  }

  /** Remembers what travelled: a `request`, an `event`, an `answer`; `body` is an object or text. */
  note(kind, name, body) {
    if (kind === "request") this._began = performance.now();
    this._notes.push({ kind, name, body, at: performance.now() - this._began });
    if (this._notes.length > MOST_KEPT) {
      this._notes.shift();
      this._first += 1;
    }
    if (this._isSeen) this._showSoon();
  }

  clear() {
    this._notes = [];
    this._first = 0;
    this._shown = undefined;
    this._list.replaceChildren();
    this._showSoon();
  }

  /** Whether somebody looks at it. */
  seen(isSeen) {
    this._isSeen = isSeen;
    if (isSeen) this._showSoon.flush();
  }

  /** Makes it anew inside a panel, in the language of now. */
  build(panel) {
    this._scroller = panel;
    this._list = make("ol", { class: "events" });
    this._earlier = make("p", { class: "quiet" });
    panel.replaceChildren(this._earlier, this._list);
    this._shown = undefined;
  }

  actions() {
    const text = () => this._notes.map(({ kind, name, body }) => [kind, name, asText(body)].filter(Boolean).join(" ")).join("\n");
    return [copyButton(words("copyAll"), words("copied"), text), iconButton("bin", words("clear"), () => this.clear())];
  }

  _show() {
    const end = this._first + this._notes.length;
    const start = Math.max(this._first, end - MOST_SHOWN);
    const follows = this._scroller.scrollHeight - this._scroller.scrollTop - this._scroller.clientHeight < 60;
    this._earlier.textContent = end === 0 ? words("rawEmpty") : start > 0 ? words("rawEarlier", start) : "";
    const from = Math.max(this._shown ?? start, start);
    for (let number = from; number < end; number += 1) this._list.append(entry(this._notes[number - this._first]));
    while (this._list.childElementCount > end - start) this._list.firstElementChild.remove();
    this._shown = end;
    if (follows) this._scroller.scrollTop = this._scroller.scrollHeight;
  }
}

function entry({ kind, name, body, at }) {
  const text = asText(body);
  const { title, gist } = summed(text);
  const summary = make("summary", {}, make("time", {}, `${(at / 1000).toFixed(2)} s`), make("b", {}, name || title), make("span", { class: "event-text" }, gist || text));
  const details = make("details", {}, summary);
  // Few of many are opened.
  details.addEventListener("toggle", () => details.childElementCount < 2 && details.append(make("pre", { tabIndex: 0 }, pretty(text))));
  return make("li", { class: `event event-${kind}` }, details);
}

/** What an event calls itself, and the words in it that are new. */
function summed(text) {
  try {
    const { type, object, status, error, choices, delta, text: words } = JSON.parse(text);
    const said = delta ?? words ?? choices?.[0]?.delta?.content ?? choices?.[0]?.delta?.reasoning_content;
    const title = object && status !== undefined ? [object, status].filter(Boolean).join(" ") : type ?? object ?? (error ? "error" : "");
    return { title, gist: typeof said === "string" ? said : typeof words === "string" ? words : "" };
  } catch {
    return { title: "", gist: "" };
  }
}

function asText(body) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  // The bytes of files would bury everything else.
  return text.replace(/(;base64,[A-Za-z0-9+/]{40})[A-Za-z0-9+/=]{100,}/g, "$1…");
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
