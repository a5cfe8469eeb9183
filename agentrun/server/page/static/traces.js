// Traces, as the server keeps them.

// Spans are written together, some time after they ended; an agent that was stopped may take its time to end.
const PAUSES = [250, 400, 800, 1600, 3200];
const REASONS = { 401: "wantsKey", 403: "traceHidden", 404: "traceOff" };
const UNKNOWN = "trace_not_found";

/** The id of the span that a question says it is below; nobody keeps that one. */
export function parentOf(trace) {
  return trace.slice(0, 16);
}

/**
 * What is kept of a trace, again as long as there may be more: `{ spans, run }`, or `{ reason, isLast }` with the name of
 * the words that say why there is nothing.
 */
export async function* kept(url, trace, { key, signal }) {
  for (let turn = 0; ; turn += 1) {
    const found = await asked(`${url}/${trace}`, { key, signal });
    const isLast = turn === PAUSES.length || isWhole(found, trace);
    yield { ...found, isLast };
    if (isLast) return;
    await new Promise((resolve) => setTimeout(resolve, PAUSES[turn]));
    if (signal.aborted) return;
  }
}

async function asked(url, { key, signal }) {
  try {
    const response = await fetch(url, { headers: key ? { authorization: `Bearer ${key}` } : {}, cache: "no-store", signal });
    const body = await response.json().catch(() => null);
    if (response.ok && body?.spans) return body;
    if (body?.error?.code === UNKNOWN) return { reason: "traceUnknown" };
    return { reason: REASONS[response.status] ?? "serverFailed" };
  } catch {
    return { reason: "unreachable" };
  }
}

/** Whether there is nothing to wait for: the span of the run is kept, which ends last. */
function isWhole({ reason, spans }, trace) {
  return reason ? reason !== "traceUnknown" : spans.some((span) => span.parent_id === parentOf(trace));
}
