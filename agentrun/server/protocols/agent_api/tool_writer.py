"""Writes calls and their outputs, which come in pieces and several at once, as messages one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agentrun.server.protocols.agent_api.message_writer import MessageWriter
from agentrun.server.protocols.agent_api.model import MessageType, RoleName
from agentrun.server.protocols.agent_api.outputs import json_text
from agentrun.server.protocols.agent_api.tool_body import OUTPUTS, CallBody, OutputBody, ToolBody


class ToolWriter:
    """The calls of a run.

    One body is open; others of its kind wait until it is over, so that messages do not overlap. What is said in
    between ends them all, and a call that goes on after that is told again, with all of its arguments.
    """

    def __init__(self, begin: Callable[[str, RoleName], MessageWriter], end: Callable[[], None]) -> None:
        self._begin_message = begin
        self._end_message = end
        self._calls: dict[str, CallBody] = {}
        self._outputs: dict[str, OutputBody] = {}
        self._open: ToolBody | None = None
        self._writer: MessageWriter | None = None
        self._waiting: list[ToolBody] = []

    def call(self, data: dict[str, Any]) -> None:
        """Tells a whole call: `id`, `name`, `args`, and for an MCP server's tool its `server_label`."""
        body = self._call(data)
        body.replace(json_text(data.get("args") or ""))
        self._tell(body)

    def call_chunk(self, data: dict[str, Any]) -> None:
        """Tells a piece of a call: `id`, `args_delta`, and `name` with the first of them."""
        delta = data.get("args_delta") or ""
        begun = data["id"] in self._calls
        body = self._call(data)
        body.add(delta)
        if delta or not begun:
            self._tell(body)

    def question(self, data: dict[str, Any]) -> None:
        """Tells a question to a person, which is a call of a component: the caller shows it, and sends the answer."""
        question = {name: value for name, value in data.items() if name not in ("id", "type", "tool_call_id")}
        call_id = str(data.get("tool_call_id") or data["id"])
        body = CallBody(MessageType.COMPONENT_CALL.value, call_id, str(data.get("type") or "question"))
        body.replace(json.dumps(question, ensure_ascii=False, default=str))
        self._calls[call_id] = body
        self._tell(body)

    def output(self, data: dict[str, Any]) -> None:
        """Tells what a call gave: `id`, `result` and `is_error`."""
        body = self._output(data)
        if data.get("is_error"):
            body.more = {"is_error": True}
        body.finish(data["result"] if "result" in data else data.get("content"))
        self._tell(body)
        # The next call of this id is another one.
        self._calls.pop(body.call_id, None)
        self._outputs.pop(body.call_id, None)

    def output_chunk(self, data: dict[str, Any]) -> None:
        """Tells a piece of what a call gives: `id` and `delta`."""
        body = self._output(data)
        body.add(data["delta"])
        self._tell(body)

    def settle(self) -> None:
        """Ends what is open, and tells what waits for it."""
        self._end()
        while self._waiting:
            self._begin(self._waiting.pop(0))
            self._end()

    def _call(self, data: dict[str, Any]) -> CallBody:
        call_id = str(data["id"])
        if call_id not in self._calls:
            label = data.get("server_label")
            kind = MessageType.PLUGIN_CALL if label is None else MessageType.MCP_TOOL_CALL
            more = {} if label is None else {"server_label": label}
            self._calls[call_id] = CallBody(kind.value, call_id, data.get("name"), more)
        return self._calls[call_id]

    def _output(self, data: dict[str, Any]) -> OutputBody:
        call_id = str(data["id"])
        if call_id not in self._outputs:
            call = self._calls.get(call_id)
            kind = OUTPUTS[call.type if call else MessageType.PLUGIN_CALL.value]
            self._outputs[call_id] = OutputBody(kind, call_id, data.get("name") or (call.name if call else None))
        return self._outputs[call_id]

    def _tell(self, body: ToolBody) -> None:
        if body in self._waiting:
            return
        if self._open is None or self._open is body:
            self._go_on(body)
        elif self._open.field != body.field:
            self.settle()
            self._go_on(body)
        elif self._open.is_over:
            self._end()
            self._go_on(body)
        else:
            self._waiting.append(body)

    def _go_on(self, body: ToolBody) -> None:
        """Tells what has come of a body, and then of those that waited for it, as far as they are over too."""
        if self._open is None:
            self._begin(body)
        elif self._writer is not None and body.is_news and not body.complete:
            self._writer.add_body(body.so_far())
        if body.complete or (self._waiting and body.is_over):
            self._end()
            if self._waiting:
                self._go_on(self._waiting.pop(0))

    def _begin(self, body: ToolBody) -> None:
        self._writer = self._begin_message(body.type, body.role)
        self._open = body
        self._writer.add_body(body.beginning())
        if body.is_news and not body.complete:
            self._writer.add_body(body.so_far())

    def _end(self) -> None:
        if self._open is None or self._writer is None:
            return
        self._writer.end_body(self._open.so_far())
        self._open = self._writer = None
        self._end_message()
