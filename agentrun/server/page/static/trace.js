// What an agent did for one answer, as its server keeps it.

import { copyButton, iconButton, make } from "./elements.js";
import { preferences } from "./preferences.js";
import { duration, tokensOf, tree, troubleOf } from "./spans.js";
import { kept } from "./traces.js";
import { words } from "./words.js";

const QUESTION_LENGTH = 80;
const CODE = { traceOff: ["AGENTRUN_TRACES=1", "ServerConfig(traces=True)"], traceHidden: ["api_keys"] };

/** A view of the drawer; `url` is where the server shows traces, null where it keeps none. */
export class Trace {
  label = "trace";

  constructor(url) {
    this._url = url;
    this._isSeen = false;
    this._chosen = {};
    this._forget();
  }

  /** Chooses an answer of which somebody wants to know, if there is one, with its question. */
  show({ answer, question, isRunning }) {
    const isSame = answer === this._chosen.answer && isRunning === this._chosen.isRunning;
    this._chosen = { answer, question, isRunning };
    if (!isSame || !this._found?.spans) this._forget();
    this._draw();
    this._load();
  }

  /** Whether somebody looks at it. */
  seen(isSeen) {
    this._isSeen = isSeen;
    this._load();
  }

  /** Makes it anew inside a panel, in the language of now. */
  build(panel) {
    this._panel = panel;
    this._draw();
  }

  actions() {
    return this._url ? [iconButton("again", words("refresh"), () => this._again())] : [];
  }

  _again() {
    this._forget();
    this._draw();
    this._load();
  }

  _forget() {
    this._loading?.abort();
    this._loading = null;
    this._found = null;
  }

  async _load() {
    const { answer, isRunning } = this._chosen;
    if (!this._isSeen || !this._url || !answer?.trace || isRunning || this._found || this._loading) return;
    const loading = new AbortController();
    this._loading = loading;
    for await (const found of kept(this._url, answer.trace, { key: preferences.key, signal: loading.signal })) {
      if (loading.signal.aborted) return;
      // What somebody opened stays open as long as nothing is new.
      const isNews = found.isLast || found.spans?.length !== this._found?.spans?.length;
      this._found = found;
      if (isNews) this._draw();
    }
    this._loading = null;
  }

  _draw() {
    if (!this._panel) return;
    const { spans, run } = this._found ?? {};
    const { scrollTop } = this._panel;
    this._panel.replaceChildren(...(spans ? [this._head(spans, run), tree(spans), foot(spans[0].trace_id)] : [this._note()]));
    this._panel.scrollTop = scrollTop;
  }

  _note() {
    const reason = this._reason();
    const isWaiting = reason === "traceRunning" || reason === "traceLoading";
    const spinner = isWaiting ? make("span", { class: "spinner" }) : null;
    return make("p", { class: "trace-note", role: "status" }, spinner, make("span", {}, ...withCode(reason)));
  }

  /** The name of the words that say why there is no trace to see. */
  _reason() {
    const { answer, isRunning } = this._chosen;
    if (!this._url) return "traceOff";
    if (!answer) return "traceEmpty";
    if (!answer.trace) return "traceNone";
    if (isRunning) return "traceRunning";
    const { reason, isLast } = this._found ?? {};
    return isLast ? reason : "traceLoading";
  }

  _head(spans, run) {
    const top = spans.find(({ id }) => id === run?.id) ?? spans[0];
    const trouble = troubleOf(top);
    const tokens = tokensOf(top);
    const facts = [duration(top.duration_ms)];
    if (typeof run?.first_event_ms === "number") facts.push(words("traceFirst", duration(run.first_event_ms)));
    if (tokens) facts.push(words("tokens", tokens.input, tokens.output));
    const outcome = make("strong", { class: `outcome outcome-${trouble ?? "completed"}` }, words(trouble ?? "completed"));
    return make("div", { class: "trace-head" }, make("h3", {}, words("traceOf", this._question())), make("p", {}, outcome, ` · ${facts.join(" · ")}`));
  }

  _question() {
    const part = this._chosen.question?.parts.find(({ kind }) => kind === "text") ?? this._chosen.question?.parts[0];
    const text = (part?.text ?? part?.name ?? "").replace(/\s+/g, " ");
    return text.length > QUESTION_LENGTH ? `${text.slice(0, QUESTION_LENGTH)}…` : text;
  }
}

function foot(id) {
  return make("p", { class: "trace-foot" }, make("span", {}, words("traceId", id)), copyButton(words("copyId"), words("copied"), () => id));
}

/** Words around pieces of code. */
function withCode(name) {
  const codes = CODE[name] ?? [];
  const marks = codes.map((_, index) => `\u0000${index}\u0000`);
  return words(name, ...marks).split("\u0000").map((part, index) => (index % 2 ? make("code", {}, codes[part]) : part));
}
