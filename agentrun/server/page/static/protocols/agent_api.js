// The Agent API: a response, its messages and their contents.

import { unique } from "../elements.js";
import { answersOf, bytesOf, formatOf, partsOf } from "./said.js";

const CALLS = new Set(["plugin_call", "function_call", "mcp_call", "component_call", "mcp_approval_request"]);
const OUTPUTS = new Set(["plugin_call_output", "function_call_output", "mcp_call_output", "component_call_output"]);

export class AgentApi {
  static label = "Agent API";
  // Its agents remember their sessions.
  static sendsHistory = false;

  constructor() {
    this._types = new Map();
    this._told = new Set();
  }

  request(conversation, { session }) {
    // By its id a run is found again whose stream was lost.
    const body = { id: unique(), input: conversation.flatMap(messagesOf), session_id: session, stream: true };
    return { path: "", body, stop: { path: "/stop", body: { session_id: session } } };
  }

  *read({ data }) {
    const frame = JSON.parse(data);
    if (frame.object === "response") yield* this._response(frame);
    else if (frame.object === "message") yield* this._message(frame);
    else if (frame.object === "content") yield* this._content(frame);
    else if (frame.error) yield { kind: "error", message: frame.error.message ?? String(frame.error), code: frame.error.code };
  }

  *_response({ status, error, usage }) {
    if (usage) yield { kind: "usage", input: usage.input_tokens, output: usage.output_tokens };
    if (status === "failed" || status === "rejected") yield { kind: "error", message: error?.message ?? status, code: error?.code };
    if (status === "canceled") yield { kind: "stopped" };
    if (["completed", "failed", "canceled", "rejected", "incomplete"].includes(status)) yield { kind: "end" };
  }

  *_message({ id, type, status, content, error }) {
    this._types.set(id, type);
    if (error) yield { kind: "error", message: error.message, code: error.code };
    if (status !== "completed") return;
    // Some servers tell only the whole message.
    for (const [index, part] of (content ?? []).entries()) {
      if (!this._told.has(`${id} ${index}`)) yield* this._part({ ...part, msg_id: id, index, delta: false });
    }
  }

  *_content(content) {
    const place = `${content.msg_id} ${content.index ?? 0}`;
    if (content.type === "text" && !content.delta && this._told.has(place)) return;
    this._told.add(place);
    yield* this._part(content);
  }

  *_part(content) {
    const type = this._types.get(content.msg_id) ?? "message";
    if (content.type === "text") yield { kind: type === "reasoning" ? "reasoning" : "text", delta: content.text ?? "" };
    else if (content.type === "refusal") yield { kind: "text", delta: content.refusal ?? "" };
    else if (content.type === "data" && CALLS.has(type)) yield* call(content.data ?? {}, type);
    else if (content.type === "data" && OUTPUTS.has(type)) yield* output(content);
    else if (content.type === "data") yield* datum(content.data ?? {});
    else yield* medium(content);
  }
}

function* call({ call_id, id, name, arguments: args }, type) {
  const isQuestion = type === "component_call" || type === "mcp_approval_request";
  yield { kind: "call", id: call_id ?? id, name, isQuestion };
  if (args) yield { kind: "arguments", id: call_id ?? id, whole: args };
}

function* output({ data, status }) {
  const { call_id: id, output: result, is_error: failed } = data ?? {};
  if (result || status !== "in_progress") yield { kind: "result", id, output: result ?? "", failed: Boolean(failed), partial: status === "in_progress" };
}

function* datum({ type, name, value, ...rest }) {
  yield { kind: "data", name: name ?? type ?? "data", value: value ?? rest };
}

function* medium({ type, image_url, video_url, data, format, file_url, file_data, filename }) {
  const sound = data && (/^(https?|data):/.test(data) ? data : `data:audio/${format ?? "wav"};base64,${data}`);
  const file = file_url ?? (file_data && (file_data.startsWith("data:") ? file_data : `data:application/octet-stream;base64,${file_data}`));
  yield { kind: "media", media: type, url: { image: image_url, video: video_url, audio: sound }[type] ?? file, name: filename };
}

function messagesOf(message) {
  if (message.role === "user") return [{ role: "user", type: "message", content: partsOf(message).map(part) }];
  return answersOf(message).flatMap(({ text, calls }) => [
    ...(text ? [{ role: "assistant", type: "message", content: [{ type: "text", text }] }] : []),
    ...calls.map(({ id, name, args }) => body("plugin_call", "assistant", { call_id: id, name, arguments: args })),
    ...calls.map(({ id, name, output: result }) => body("plugin_call_output", "tool", { call_id: id, name, output: result })),
  ]);
}

function body(type, role, data) {
  return { role, type, content: [{ type: "data", data }] };
}

function part({ kind, text, url, name, type }) {
  if (kind === "text") return { type: "text", text };
  if (kind === "image") return { type: "image", image_url: url };
  if (kind === "audio") return { type: "audio", data: bytesOf(url), format: formatOf(type) };
  return { type: "file", filename: name, file_data: url };
}
