// OpenAI's responses.

import { answersOf, bytesOf, formatOf, partsOf } from "./said.js";

export class Responses {
  static label = "OpenAI Responses";
  static sendsHistory = true;

  constructor() {
    this._calls = new Map();
  }

  request(conversation, { session }) {
    const body = { model: "agentrun", input: conversation.flatMap(itemsOf), stream: true, store: false };
    return { path: "/responses", headers: { "x-agentrun-session-id": session }, body };
  }

  *read({ data }) {
    if (data === "[DONE]") return;
    const event = JSON.parse(data);
    const tell = TELLERS[event.type];
    if (tell) yield* tell(event, this._calls);
    else if (event.error) yield { kind: "error", message: event.error.message, code: event.error.code };
  }
}

const TELLERS = {
  *"response.output_text.delta"({ delta }) {
    yield { kind: "text", delta };
  },
  *"response.refusal.delta"({ delta }) {
    yield { kind: "text", delta };
  },
  *"response.reasoning_text.delta"({ delta }) {
    yield { kind: "reasoning", delta };
  },
  *"response.reasoning_summary_text.delta"({ delta }) {
    yield { kind: "reasoning", delta };
  },
  *"response.output_item.added"({ item }, calls) {
    if (!["function_call", "mcp_call"].includes(item.type)) return;
    calls.set(item.id, item.call_id ?? item.id);
    yield { kind: "call", id: item.call_id ?? item.id, name: item.name };
  },
  *"response.function_call_arguments.delta"({ item_id: item, delta }, calls) {
    yield { kind: "arguments", id: calls.get(item) ?? item, delta };
  },
  *"response.mcp_call_arguments.delta"({ item_id: item, delta }, calls) {
    yield { kind: "arguments", id: calls.get(item) ?? item, delta };
  },
  *"response.output_item.done"({ item }) {
    const { type, id, call_id: call, name, output, error, arguments: args } = item;
    if (type === "function_call" || type === "mcp_call") yield { kind: "call", id: call ?? id, name };
    if ((type === "function_call" || type === "mcp_call") && args) yield { kind: "arguments", id: call ?? id, whole: args };
    const hasOutput = output !== undefined && output !== null;
    if (hasOutput || error) yield { kind: "result", id: call ?? id, output: hasOutput ? output : error, failed: Boolean(error) || item.status === "incomplete" };
  },
  *"response.completed"({ response }) {
    yield* ended(response);
  },
  *"response.incomplete"({ response }) {
    yield* ended(response);
  },
  *"response.cancelled"({ response }) {
    yield { kind: "stopped" };
    yield* ended(response);
  },
  *"response.failed"({ response }) {
    yield { kind: "error", message: response?.error?.message ?? "failed", code: response?.error?.code };
    yield* ended(response);
  },
  *error({ message, code, error }) {
    yield { kind: "error", message: message ?? error?.message, code: code ?? error?.code };
    yield { kind: "end" };
  },
};

function* ended(response) {
  if (response?.usage) yield { kind: "usage", input: response.usage.input_tokens, output: response.usage.output_tokens };
  yield { kind: "end" };
}

function itemsOf(message) {
  if (message.role === "user") return [{ type: "message", role: "user", content: partsOf(message).map(part) }];
  return answersOf(message).flatMap(({ text, calls }) => [
    ...(text ? [{ type: "message", role: "assistant", content: [{ type: "output_text", text }] }] : []),
    ...calls.map(({ id, name, args }) => ({ type: "function_call", call_id: id, name, arguments: args })),
    ...calls.map(({ id, output }) => ({ type: "function_call_output", call_id: id, output })),
  ]);
}

function part({ kind, text, url, name, type }) {
  if (kind === "text") return { type: "input_text", text };
  if (kind === "image") return { type: "input_image", image_url: url };
  if (kind === "audio") return { type: "input_audio", input_audio: { data: bytesOf(url), format: formatOf(type) } };
  return { type: "input_file", filename: name, file_data: url };
}
