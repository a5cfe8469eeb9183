// OpenAI's chat completions.

import { answersOf, bytesOf, formatOf, partsOf } from "./said.js";

export class Chat {
  static label = "OpenAI Chat";
  static sendsHistory = true;

  constructor() {
    this._calls = new Map();
  }

  request(conversation, { session }) {
    const body = { model: "agentrun", messages: conversation.flatMap(messagesOf), stream: true, stream_options: { include_usage: true } };
    return { path: "/chat/completions", headers: { "x-agentrun-session-id": session }, body };
  }

  *read({ data }) {
    if (data === "[DONE]") {
      yield { kind: "end" };
      return;
    }
    const { choices = [], usage, error } = JSON.parse(data);
    if (error) {
      yield { kind: "error", message: error.message, code: error.code ?? error.type };
      yield { kind: "end" };
    }
    if (usage) yield { kind: "usage", input: usage.prompt_tokens, output: usage.completion_tokens };
    for (const choice of choices) yield* this._delta(choice.delta ?? {});
  }

  *_delta({ content, reasoning_content: reasoning, tool_calls: calls = [] }) {
    if (reasoning) yield { kind: "reasoning", delta: reasoning };
    if (content) yield { kind: "text", delta: content };
    for (const { index, id, function: called } of calls ?? []) {
      if (id) {
        this._calls.set(index, id);
        yield { kind: "call", id, name: called?.name };
      }
      if (called?.arguments) yield { kind: "arguments", id: this._calls.get(index), delta: called.arguments };
    }
  }
}

/** Messages as chats have them; AG-UI has the same ones but for ids and names. */
export function messagesOf(message) {
  if (message.role === "user") return [{ role: "user", content: content(partsOf(message)) }];
  return answersOf(message).flatMap(({ text, calls }) => [
    { role: "assistant", content: text || null, ...(calls.length ? { tool_calls: calls.map(callOf) } : {}) },
    ...calls.map(({ id, output }) => ({ role: "tool", tool_call_id: id, content: output })),
  ]);
}

function content(parts) {
  return parts.length === 1 && parts[0].kind === "text" ? parts[0].text : parts.map(part);
}

function callOf({ id, name, args }) {
  return { id, type: "function", function: { name, arguments: args } };
}

function part({ kind, text, url, name, type }) {
  if (kind === "text") return { type: "text", text };
  if (kind === "image") return { type: "image_url", image_url: { url } };
  if (kind === "audio") return { type: "input_audio", input_audio: { data: bytesOf(url), format: formatOf(type) } };
  return { type: "file", file: { filename: name, file_data: url } };
}
