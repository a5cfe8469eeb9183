"""Writes calls and what came of them, as items that may be open side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentrun.integration._outcome import as_text
from agentrun.server.protocols.responses.item_writer import COMPLETED, IN_PROGRESS, INCOMPLETE, ItemWriter, new_id

_NO_ARGUMENTS = "{}"


class _Call:
    """A call that was not answered yet; its arguments are over when they are `settled`."""

    def __init__(self, call_id: str, writer: ItemWriter) -> None:
        self.call_id = call_id
        self.writer = writer
        self.is_mcp = writer.item["type"] == "mcp_call"
        self._event = "response.mcp_call_arguments" if self.is_mcp else "response.function_call_arguments"
        self._layout = writer.layout(f"{self._event}.delta")
        self._pieces: list[str] = []
        self._is_settled = False

    def add(self, delta: str) -> None:
        """Writes what comes next of the arguments."""
        if delta and not self._is_settled:
            self.writer.tell_delta(self._layout, delta)
            self._pieces.append(delta)

    def settle(self, whole: str | None = None, status: str = COMPLETED) -> None:
        """Writes the arguments; `whole` is what they are where they came at once."""
        if self._is_settled:
            return
        text = "".join(self._pieces)
        whole = whole or text or _NO_ARGUMENTS
        if whole.startswith(text):
            self.add(whole[len(text) :])
        self._is_settled = True
        item = self.writer.item
        item["arguments"] = whole
        self.writer.tell(f"{self._event}.done", name=item["name"], arguments=whole)
        if not self.is_mcp:
            self.writer.end(status)

    def flush(self) -> None:
        """Puts the arguments so far into the item."""
        if not self._is_settled:
            self.writer.item["arguments"] = "".join(self._pieces)

    def answer(self, text: str, *, is_error: bool) -> None:
        """Writes what the tool of an MCP server gave, which is a part of the call."""
        if is_error:
            content = [{"type": "text", "text": text}]
            self.writer.item["error"] = {"type": "mcp_tool_execution_error", "content": content}
        else:
            self.writer.item["output"] = text
        status = "failed" if is_error else COMPLETED
        self.writer.tell(f"response.mcp_call.{status}")
        self.writer.end(status)


class ToolWriter:
    """The calls of a run; `begin` makes an item of the output."""

    def __init__(self, begin: Callable[[dict[str, Any]], ItemWriter]) -> None:
        self._begin = begin
        self._calls: dict[str, _Call] = {}
        self._outputs: dict[str, list[str]] = {}  # What came of calls that are not over.
        self._told: dict[str, int] = {}  # Ids of calls, and how often they were used.

    def call(self, data: dict[str, Any]) -> None:
        """Writes a whole call: `id`, `name`, `args`, and for the tool of an MCP server its `server_label`."""
        self._call(data).settle(as_text(data.get("args") or ""))

    def call_chunk(self, data: dict[str, Any]) -> None:
        """Writes a piece of a call: `id`, `args_delta`, and `name` with the first of them."""
        self._call(data).add(str(data.get("args_delta") or ""))

    def question(self, data: dict[str, Any]) -> bool:
        """Writes a question to a person as a call that the client is to answer; False where it has that call."""
        call_id = str(data.get("tool_call_id") or data.get("id") or new_id("call"))
        if call_id in self._told:
            return False
        more = {name: value for name, value in data.items() if name not in ("id", "type", "tool_call_id")}
        self.call({"id": call_id, "name": str(data.get("type") or "question"), "args": as_text(more)})
        return True

    def output(self, data: dict[str, Any]) -> None:
        """Writes what came of a call: `id`, `result` and `is_error`."""
        call_id = str(data.get("id") or "")
        result = data.get("result") if "result" in data else data.get("content")
        pieces = self._outputs.pop(call_id, [])
        # Text belongs behind the pieces that have come, anything else is the whole of it.
        text = "".join([*pieces, result]) if isinstance(result, str) else as_text(result)
        self._answer(call_id, text, COMPLETED, is_error=bool(data.get("is_error")))

    def output_chunk(self, data: dict[str, Any]) -> None:
        """Keeps a piece of what comes of a call, `id` and `delta`: the protocol has no word for it before the end."""
        self._outputs.setdefault(str(data.get("id") or ""), []).append(str(data.get("delta") or ""))

    def settle(self) -> None:
        """Writes the arguments of all calls, as nothing can follow on them."""
        for call in self._calls.values():
            call.settle()

    def flush(self) -> None:
        """Puts what is known so far into the items."""
        for call in self._calls.values():
            call.flush()

    def end(self, status: str = COMPLETED) -> None:
        """Ends every item; those that wait for something stay incomplete."""
        for call in self._calls.values():
            call.settle(status=status)
        for call_id, pieces in self._outputs.items():
            self._answer(call_id, "".join(pieces), INCOMPLETE)
        for call in self._calls.values():
            if call.is_mcp:
                call.writer.end(INCOMPLETE)
        self._calls.clear()

    def _call(self, data: dict[str, Any]) -> _Call:
        call_id = str(data.get("id") or "")
        if call_id not in self._calls:
            self._calls[call_id] = self._new_call(call_id, str(data.get("name") or ""), data.get("server_label"))
        return self._calls[call_id]

    def _new_call(self, call_id: str, name: str, server_label: Any) -> _Call:
        times = self._told[call_id] = self._told.get(call_id, 0) + 1
        # Clients know calls by their ids, so a second one of the same id has another.
        own_id = call_id if times == 1 else f"{call_id}_{times}"
        if server_label is None:
            return _Call(own_id, self._begin(_function_call(own_id, name)))
        call = _Call(own_id, self._begin(_mcp_call(name, str(server_label))))
        call.writer.tell("response.mcp_call.in_progress")
        return call

    def _answer(self, call_id: str, text: str, status: str, *, is_error: bool = False) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            call.settle()
        if call is not None and call.is_mcp:
            call.answer(text, is_error=is_error)
            return
        output = _function_call_output(call.call_id if call else call_id, call.writer.item["name"] if call else None)
        writer = self._begin(output)
        output["output"] = text
        writer.end(INCOMPLETE if is_error else status)


def _function_call(call_id: str, name: str) -> dict[str, Any]:
    what = {"call_id": call_id, "name": name, "arguments": ""}
    return {"id": new_id("fc"), "type": "function_call", "status": IN_PROGRESS, **what}


def _function_call_output(call_id: str, name: str | None) -> dict[str, Any]:
    named = {"name": name} if name else {}
    what = {"call_id": call_id, **named, "output": ""}
    return {"id": new_id("fco"), "type": "function_call_output", "status": IN_PROGRESS, **what}


def _mcp_call(name: str, server_label: str) -> dict[str, Any]:
    what = {"server_label": server_label, "name": name, "arguments": "", "output": None, "error": None}
    return {"id": new_id("mcp"), "type": "mcp_call", "status": IN_PROGRESS, "approval_request_id": None, **what}
