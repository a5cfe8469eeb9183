// One question to an agent, and its answer as it comes.

import { framesOf } from "./frames.js";
import { PROTOCOLS } from "./protocols/index.js";

const JSON_TO_EVENTS = { "content-type": "application/json", accept: "text/event-stream" };

/** Why there is no answer: `reason` names the words of the page, `detail` is what the server said. */
export class RunError extends Error {
  constructor(reason, detail = "") {
    super(reason);
    this.reason = reason;
    this.detail = detail;
  }
}

/**
 * Asks, and gives what the agent does as events; `note` sees everything that travels.
 *
 * A stream whose events have numbers goes on where it was lost. Throws RunError when the answer does not come to its
 * end, and AbortError when `signal` stopped it.
 */
export async function* run({ protocol, url, alive, conversation, session, key, signal, note }) {
  const speaker = new PROTOCOLS[protocol]();
  const { path, headers, body, stop } = speaker.request(conversation, { session });
  const authorization = key ? { authorization: `Bearer ${key}` } : {};
  const request = { method: "POST", headers: { ...JSON_TO_EVENTS, ...headers, ...authorization }, body: JSON.stringify(body), signal };
  note("request", `POST ${new URL(url + path).pathname}`, body);
  const stream = { response: await connected(url + path, request, signal), last: null };
  if (!isStream(stream.response)) throw await refusal(stream.response, note);
  const stopRun = () => stream.last !== null && stop && ask(url + stop.path, { ...request, body: JSON.stringify(stop.body), signal: undefined });
  // An agent whose stream can be gone on with would wait for its reader.
  signal.addEventListener("abort", stopRun, { once: true });
  yield* toTheEnd(speaker, stream, signal, note, () => goOn(url + path, alive, request, stream));
  signal.removeEventListener("abort", stopRun);
}

async function* toTheEnd(speaker, stream, signal, note, again) {
  for (;;) {
    try {
      yield* told(speaker, stream, signal, note);
      return;
    } catch (error) {
      if (signal.aborted || error.reason !== "lost" || stream.last === null) throw error;
      yield { kind: "waiting", isOver: false };
      stream.response = await again();
      if (!stream.response) throw error;
      note("request", `Last-Event-ID: ${stream.last}`, {});
      yield { kind: "waiting", isOver: true };
    }
  }
}

/** What is behind the last event that came; null when the server does not have it. */
async function goOn(url, alive, request, { last }) {
  if (!(await serverIsBack(alive, request.signal))) request.signal.throwIfAborted();
  const response = await ask(url, { ...request, headers: { ...request.headers, "last-event-id": last } });
  return response?.ok && isStream(response) ? response : null;
}

function ask(url, request) {
  return fetch(url, request).catch(() => null);
}

async function* told(speaker, stream, signal, note) {
  let ended = false;
  try {
    for await (const frame of framesOf(stream.response.body)) {
      note("event", frame.event, frame.data);
      stream.last = frame.id ?? stream.last;
      for (const event of speaker.read(frame)) {
        if (event.kind === "end") ended = true;
        yield event;
      }
    }
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") throw error;
    // What comes behind the end can be lost.
    if (!ended) throw new RunError("lost", String(error.message ?? error));
  }
  if (!ended && stream.response.ok) throw new RunError("lost");
}

async function connected(url, request, signal) {
  try {
    return await fetch(url, request);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new RunError("unreachable", String(error.message ?? error));
  }
}

function isStream(response) {
  return (response.headers.get("content-type") ?? "").startsWith("text/event-stream");
}

const REASONS = { 400: "badRequest", 401: "wantsKey", 403: "forbidden", 404: "noProtocol", 405: "noProtocol", 409: "hasRun", 413: "tooLong", 422: "badRequest", 429: "tooBusy", 503: "tooBusy" };
// What `agentrun chat --page` says when it could not pass a question on. Others say 502 of questions that arrived, too.
const NOT_PASSED_ON = "not_passed_on";

async function refusal(response, note) {
  const text = await response.text().catch(() => "");
  note("answer", `${response.status} ${response.statusText}`.trim(), text);
  const { detail, code } = wordsOf(text);
  if (response.ok) return new RunError("noProtocol", detail);
  if (code === NOT_PASSED_ON) return new RunError("unreachable", detail);
  return new RunError(REASONS[response.status] ?? (response.status >= 500 ? "serverFailed" : "badRequest"), detail);
}

/** What the server says of its error, in words if it has any. */
function wordsOf(text) {
  try {
    const { error, detail, message } = JSON.parse(text);
    const found = error?.message ?? error ?? detail ?? message;
    return { detail: typeof found === "string" ? found : JSON.stringify(found), code: error?.code };
  } catch {
    return { detail: text.slice(0, 400) };
  }
}

/** Waits until the server answers again; gives false when `signal` stopped that. */
export async function serverIsBack(url, signal) {
  for (let seconds = 0.5; !signal.aborted; seconds = Math.min(seconds * 1.6, 10)) {
    await pause(seconds * 1000, signal);
    if (signal.aborted) break;
    const answer = await fetch(url, { signal, cache: "no-store" }).catch(() => null);
    if (answer && answer.status < 500) return true;
  }
  return false;
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    const now = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", now, { once: true });
    addEventListener("online", now, { once: true });
  });
}
