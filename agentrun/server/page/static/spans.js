// The steps of a run as a tree, with bars on a common scale.

import { icon, make } from "./elements.js";
import { words } from "./words.js";

const MOST_SHOWN = 500;
const DEEPEST = 8;
const OPERATION = "gen_ai.operation.name";
const KINDS = new Map([["invoke_agent", "run"], ["execute_tool", "tool"], ...["chat", "embeddings", "generate_content", "text_completion"].map((name) => [name, "model"])]);
const TROUBLES = ["failed", "cancelled"];

/** Spans, each with those below it, as far as a page can show them. */
export function tree(spans) {
  const began = Math.min(...spans.map(({ started }) => started));
  const milliseconds = Math.max(...spans.map(({ started, duration_ms: duration }) => (started - began) * 1000 + duration), 0.001);
  const shown = spans.slice(0, MOST_SHOWN);
  const known = new Set(shown.map(({ id }) => id));
  const below = new Map();
  for (const span of shown) {
    const above = known.has(span.parent_id) ? span.parent_id : null;
    below.set(above, [...(below.get(above) ?? []), span]);
  }
  const list = (above, depth) => {
    const properties = above ? {} : { "aria-label": words("traceSpans") };
    return make("ul", { class: "spans", ...properties }, ...(below.get(above) ?? []).map((span) => item(span, depth)));
  };
  const item = (span, depth) => make("li", {}, step(span, { depth, began, milliseconds }), below.has(span.id) ? list(span.id, depth + 1) : null);
  const more = spans.length - shown.length;
  const rest = more ? make("p", { class: "quiet" }, words("traceMore", more, `agentrun traces show ${spans[0].trace_id.slice(0, 8)}`)) : null;
  return make("div", { class: "tree" }, scale(milliseconds), list(null, 0), rest);
}

/** How long something took, as people say it. */
export function duration(milliseconds) {
  if (milliseconds >= 60_000) return `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(2)} s`;
  return `${milliseconds >= 100 ? Math.round(milliseconds) : milliseconds.toFixed(1)} ms`;
}

export function tokensOf({ attributes }) {
  const [input, output] = ["input", "output"].map((kind) => attributes[`gen_ai.usage.${kind}_tokens`] ?? 0);
  return input || output ? { input, output } : null;
}

/** "failed", "cancelled", or nothing when it went well. */
export function troubleOf({ status, attributes }) {
  const outcome = attributes["agentrun.outcome"] ?? (status === "error" ? "failed" : "");
  // An agent's own code may have put anything there.
  return TROUBLES.includes(outcome) ? outcome : null;
}

function scale(milliseconds) {
  const marks = [0, 0.5, 1].map((part) => make("span", {}, part ? duration(milliseconds * part) : "0"));
  return make("div", { class: "scale", "aria-hidden": "true" }, ...marks);
}

function step(span, place) {
  const summary = make("summary", { class: "span-row" }, ...told(span, place));
  const details = make("details", { class: `span span-${KINDS.get(span.attributes[OPERATION]) ?? "other"}` }, summary);
  const trouble = troubleOf(span);
  if (trouble) details.classList.add(`span-${trouble}`);
  // Few of many are opened.
  details.addEventListener("toggle", () => details.childElementCount < 2 && details.append(facts(span)));
  return details;
}

function told(span, { depth, began, milliseconds }) {
  const trouble = troubleOf(span);
  const tokens = tokensOf(span);
  const after = (span.started - began) * 1000;
  const name = make("span", { class: "span-name" }, trouble === "failed" ? icon("warning") : null, make("b", { title: span.name }, span.name));
  name.style.setProperty("--depth", Math.min(depth, DEEPEST));
  const bar = make("span", { class: "span-bar" });
  bar.style.setProperty("--from", after / milliseconds);
  bar.style.setProperty("--share", span.duration_ms / milliseconds);
  const parts = [
    name,
    tokens ? make("span", { class: "span-tokens" }, words("traceTokens", tokens.input, tokens.output)) : null,
    make("span", { class: "span-time", title: words("spanTook", duration(span.duration_ms), duration(after)) }, duration(span.duration_ms)),
    make("span", { class: "span-track", "aria-hidden": "true" }, bar),
  ];
  if (trouble) parts.push(make("span", { class: "span-trouble" }, reasonOf(span, trouble)));
  return parts;
}

/** What went wrong: that it did, the kind of error, and its message. */
function reasonOf({ attributes, message }, trouble) {
  return [words(trouble), attributes["error.type"], message].filter(Boolean).join(": ");
}

function facts({ id, attributes, message }) {
  const rows = Object.entries({ ...(message ? { message } : {}), ...attributes, "span.id": id }).map(([name, value]) => [make("dt", {}, name), make("dd", {}, readable(value))]);
  return make("dl", { class: "span-facts" }, ...rows.flat());
}

function readable(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  try {
    const found = JSON.parse(value);
    return typeof found === "object" ? JSON.stringify(found, null, 2) : value;
  } catch {
    return value;
  }
}
