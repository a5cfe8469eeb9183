"""Tools, models and events for AgentScope 1.0."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agentrun.integration._events import Teller
from agentrun.integration._extra import framework
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._reported import reported
from agentrun.integration._tool import Tool
from agentrun.server.events import AgentEvent

with framework("agentscope", "agentscope"):
    from agentscope.mcp import MCPToolFunction
    from agentscope.message import Base64Source, ImageBlock, Msg, TextBlock
    from agentscope.tool import ToolResponse

if TYPE_CHECKING:
    from agentscope.model import OpenAIChatModel

    from agentrun.integration._model import CommonModel


class ToolFailure(str):
    """What a tool that failed tells the model; blocks of AgentScope 1.0 have no other place to say so."""


class ToolFunction(MCPToolFunction):
    """A tool as a function that brings its whole schema along, which AgentScope 1.0 takes of this class alone.

    Called, it yields responses: how far the call is, and last what it came to. An error is the text of a response,
    whose metadata says `is_error`; otherwise the metadata holds the whole `result`.
    """

    def __init__(self, tool: Tool) -> None:
        self._tool = tool
        self.mcp_name = None  # type: ignore[assignment] # It is of no server, and removing one leaves it.
        self.name = self.__name__ = tool.name
        self.description = self.__doc__ = tool.description

    @property
    def json_schema(self) -> dict[str, Any]:  # type: ignore[override] # Toolkits change what they get; each gets its own.
        """The tool as a model is told of it."""
        return deepcopy(self._tool.to_openai_function())

    async def __call__(self, /, **arguments: Any) -> AsyncGenerator[ToolResponse, None]:  # type: ignore[override]
        """Yield the responses of a call."""
        async for step in reported(self._tool, arguments):
            if isinstance(step, ToolOutcome):
                yield _response(step)
            else:
                yield ToolResponse(content=[_text(step.text)], stream=True, is_last=False)


def to_tool(tool: Tool) -> ToolFunction:
    """A tool as a function for `Toolkit.register_tool_function`.

    AgentScope 1.0 tells functions nothing of whose call it is, so that a session is a list of tools.
    """
    return ToolFunction(tool)


def to_model(model: CommonModel) -> OpenAIChatModel:
    """A model as AgentScope's own, over the chat API; it streams, and tells its usage."""
    with framework("agentscope", "openai"):
        from agentscope.model import OpenAIChatModel  # Slow to import, and needed by nothing else.

    given = model.shared_kwargs(asynchronous=True)
    return OpenAIChatModel(model.name, given.pop("api_key"), stream=True, client_kwargs=given)


class AgentRunConverter(Teller):
    """Turns the messages that agents print into events of the server; it remembers what it has told, until `reset`.

    Takes what `stream_printing_messages` yields, each time the whole message so far, or a whole message alone.
    """

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._told: dict[tuple[str, str], int] = {}  # How much of a text is told, by its message and what it is.

    def convert(self, event: tuple[Any, ...] | Msg) -> Iterator[AgentEvent]:
        """What one message, or what was added to it, means."""
        message, last = (event, True) if isinstance(event, Msg) else event[:2]
        if message.role == "user":
            return
        blocks = message.get_content_blocks()
        for kind, tell in (("thinking", self.reasoning), ("text", self.text)):
            yield from tell(self._new(message.id, kind, "".join(_of_kind(blocks, kind))))
        for block in blocks:
            if block["type"] == "tool_use":
                yield from self._of_call(message.id, block, last)
            elif block["type"] == "tool_result":
                yield from self._of_result(block, last)

    def _new(self, message_id: str, what: str, text: str) -> str:
        told = self._told.get((message_id, what), 0)
        self._told[message_id, what] = max(told, len(text))
        return text[told:]

    def _of_call(self, message_id: str, block: Any, last: bool) -> Iterator[AgentEvent]:
        if "raw_input" in block:
            yield from self.call_piece(
                block["id"], block["name"], self._new(message_id, block["id"], block["raw_input"])
            )
        elif last:
            yield from self.call(block["id"], block["name"], block["input"])

    def _of_result(self, block: Any, last: bool) -> Iterator[AgentEvent]:
        output = block["output"]
        parts = [output] if isinstance(output, str) else [part.get("text") or f"[{part['type']}]" for part in output]
        if last:
            failed = any(isinstance(part, ToolFailure) for part in parts)
            yield from self.result(block["id"], "".join(parts), is_error=failed)
        else:
            yield from self.custom("tool_progress", {"id": block["id"], "message": "".join(parts)})


def _of_kind(blocks: Any, kind: str) -> list[str]:
    return [block[kind] for block in blocks if block["type"] == kind]


def _text(text: str) -> TextBlock:
    return TextBlock(type="text", text=text)


def _response(outcome: ToolOutcome) -> ToolResponse:
    if outcome.error is not None:
        failed = {"is_error": True, "error": type(outcome.error).__name__}
        return ToolResponse(content=[_text(ToolFailure(outcome.text))], metadata=failed)
    images = [
        ImageBlock(type="image", source=Base64Source(type="base64", media_type=image.media_type, data=image.data))
        for image in outcome.images
    ]
    return ToolResponse(content=[_text(outcome.text), *images], metadata={"result": outcome.value})
