// AG-UI: a run in a thread.

import { unique } from "../elements.js";
import { messagesOf } from "./chat.js";
import { bytesOf, partsOf } from "./said.js";

export class AgUi {
  static label = "AG-UI";
  static sendsHistory = true;

  request(conversation, { session }) {
    const messages = conversation.flatMap((message) => (message.role === "user" ? [asked(message)] : messagesOf(message).map(answered)));
    return { path: "", body: { threadId: session, runId: unique(), state: {}, messages, tools: [], context: [], forwardedProps: {} } };
  }

  *read({ data }) {
    const event = JSON.parse(data);
    const tell = TELLERS[event.type];
    if (tell) yield* tell(event);
  }
}

const TELLERS = {
  *TEXT_MESSAGE_CONTENT({ delta }) {
    yield { kind: "text", delta };
  },
  *TEXT_MESSAGE_CHUNK({ delta }) {
    if (delta) yield { kind: "text", delta };
  },
  *REASONING_MESSAGE_CONTENT({ delta }) {
    yield { kind: "reasoning", delta };
  },
  *REASONING_MESSAGE_CHUNK({ delta }) {
    if (delta) yield { kind: "reasoning", delta };
  },
  *THINKING_TEXT_MESSAGE_CONTENT({ delta }) {
    yield { kind: "reasoning", delta };
  },
  *TOOL_CALL_START({ toolCallId, toolCallName }) {
    yield { kind: "call", id: toolCallId, name: toolCallName, isQuestion: toolCallName?.startsWith("hitl_") };
  },
  *TOOL_CALL_ARGS({ toolCallId, delta }) {
    yield { kind: "arguments", id: toolCallId, delta };
  },
  *TOOL_CALL_RESULT({ toolCallId, content, metadata }) {
    yield { kind: "result", id: toolCallId, output: content, failed: Boolean(metadata?.isError) };
  },
  *STATE_SNAPSHOT({ snapshot }) {
    yield { kind: "data", name: "state", value: snapshot };
  },
  *STATE_DELTA({ delta }) {
    yield { kind: "data", name: "state", value: delta };
  },
  *CUSTOM({ name, value }) {
    yield* custom(name, value);
  },
  *RUN_FINISHED({ outcome, usage = [] }) {
    for (const { inputTokens, outputTokens } of usage ?? []) yield { kind: "usage", input: inputTokens, output: outputTokens };
    for (const { message } of outcome?.interrupts ?? []) if (message) yield { kind: "question", text: message };
    yield { kind: "end" };
  },
  *RUN_ERROR({ message, code }) {
    if (code === "CancelledError") yield { kind: "stopped" };
    else yield { kind: "error", message, code };
    yield { kind: "end" };
  },
};

/** Agents tell images and the like as events of their own, in the words of their frameworks. */
function* custom(name, value) {
  const media = /^(image|audio|video|file)/.exec(name)?.[1];
  const holder = value?.source ?? value?.[name] ?? value;
  const url = typeof holder === "string" ? holder : holder?.url ?? value?.[`${media}_url`];
  const bytes = holder?.data ?? holder?.base64;
  const type = holder?.media_type ?? holder?.mime_type ?? { image: "image/png", audio: "audio/wav", video: "video/mp4" }[media];
  if (media && (url || bytes)) yield { kind: "media", media, url: url || `data:${type};base64,${bytes}`, name: value?.filename };
  else yield { kind: "data", name, value };
}

function asked(message) {
  const parts = partsOf(message);
  return { id: message.id, role: "user", content: parts.length === 1 && parts[0].kind === "text" ? parts[0].text : parts.map(part) };
}

function part({ kind, text, url, name, type }) {
  if (kind === "text") return { type: "text", text };
  const source = { type: "data", value: bytesOf(url), mimeType: type };
  return { type: kind === "file" ? "document" : kind, source, metadata: { filename: name } };
}

function answered({ role, content, tool_calls: toolCalls, tool_call_id: toolCallId }) {
  return { id: unique(), role, content: content ?? "", toolCalls, toolCallId };
}
