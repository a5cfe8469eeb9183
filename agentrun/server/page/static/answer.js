// What an agent answers, put together from its events; this is also what is kept of it.

import { unique } from "./elements.js";

/** An answer of which nothing has come; `trace` is the id by which the server knows its trace, if it keeps any. */
export function emptyAnswer(protocol, trace) {
  return { role: "agent", id: unique(), protocol, trace, items: [] };
}

/** Puts an event into an answer; gives the item that changed, if one did. */
export function apply(answer, event) {
  const add = EVENTS[event.kind];
  return add ? add(answer, event) : null;
}

/** Everything that was said, without thoughts and calls. */
export function textOf(answer) {
  return answer.items.filter((item) => item.kind === "text").map((item) => item.text).join("\n\n");
}

const EVENTS = {
  text: (answer, { delta }) => grow(answer, "text", delta),
  reasoning(answer, { delta }) {
    const item = grow(answer, "reasoning", delta);
    item.began ??= Date.now();
    item.seconds = (Date.now() - item.began) / 1000;
    return item;
  },
  call(answer, { id, name, isQuestion }) {
    const known = callOf(answer, id);
    if (known) return Object.assign(known, { name: name ?? known.name });
    return push(answer, { kind: "call", id, name: name ?? "", args: "", isQuestion: isQuestion || undefined });
  },
  arguments(answer, { id, delta, whole }) {
    const call = callOf(answer, id) ?? EVENTS.call(answer, { id });
    call.args = whole ?? call.args + delta;
    return call;
  },
  result(answer, { id, output, failed, partial }) {
    const call = callOf(answer, id) ?? EVENTS.call(answer, { id });
    return Object.assign(call, { output: plain(output), failed, partial });
  },
  media: (answer, { media, url, name }) => push(answer, { kind: "media", media, url, name }),
  data(answer, { name, value }) {
    const last = answer.items.at(-1);
    // Of a state that changes again and again, the latest is what it is.
    if (last?.kind === "data" && name === "state" && last.name === name) return Object.assign(last, { value });
    return push(answer, { kind: "data", name, value });
  },
  question: (answer, { text }) => push(answer, { kind: "question", text }),
  usage(answer, { input, output }) {
    answer.usage = { input: input ?? 0, output: output ?? 0 };
    return null;
  },
  error(answer, { message, code }) {
    // This code says that there is none, and so do the words that come with it.
    const detail = code === "AGENT_UNKNOWN_ERROR" ? message.replace(/^Unknown agent error: /, "") : [code, message].filter(Boolean).join(": ");
    answer.error = { reason: "agentFailed", detail };
    return null;
  },
  stopped(answer) {
    answer.stopped = "agent";
    return null;
  },
};

/** A result as text, also one that is a list of texts, as frameworks have it. */
function plain(output) {
  const found = typeof output === "string" && output.startsWith("[") ? parsed(output) : output;
  const isTexts = Array.isArray(found) && found.length > 0 && found.every((part) => part?.type === "text" && typeof part.text === "string");
  if (isTexts) return found.map((part) => part.text).join("");
  return typeof output === "string" ? output : JSON.stringify(output);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function grow(answer, kind, delta) {
  const last = answer.items.at(-1);
  const item = last?.kind === kind ? last : push(answer, { kind, text: "" });
  item.text += delta;
  return item;
}

function push(answer, item) {
  answer.items.push(item);
  return item;
}

// Frameworks use the ids of calls again, but not before there is a result.
function callOf(answer, id) {
  return answer.items.findLast((item) => item.kind === "call" && item.id === id);
}
