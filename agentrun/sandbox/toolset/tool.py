"""One tool: what a model is told about it, and what happens when it is called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentrun._core.blocking import run
from agentrun._sandbox_tools.schema import checked
from agentrun.errors import (
    AgentRunError,
    AuthenticationError,
    ClientError,
    InvalidInputError,
    RateLimitError,
    SandboxTerminatedError,
    UnsupportedError,
)

_NOT_THE_CALLERS = (AuthenticationError, RateLimitError, SandboxTerminatedError)


@dataclass(frozen=True)
class SandboxTool:
    """A tool of a sandbox: `parameters` is the JSON Schema of its arguments, as models take it."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(repr=False)
    perform: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]] = field(repr=False)

    @property
    def function_schema(self) -> dict[str, Any]:
        """The tool as OpenAI-compatible models are told of it."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, when they fit; raises InvalidInputError, which says what is right."""
        return checked(self.name, self.parameters, arguments)

    async def outcome(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What `call_async` gives, for arguments that may be anything, as models send them."""
        try:
            return await self.perform(self.checked(arguments))
        except AgentRunError as error:
            if not is_for_the_caller(error):
                raise
            return error_result(error)

    async def call_async(self, /, **arguments: Any) -> dict[str, Any]:
        """Call the tool: its result, or `{"error": ...}` for what the caller can put right.

        That is a wrong argument, a file that is not there, a language that is not installed. Everything else raises:
        SandboxTerminatedError when the sandbox has ended, TransportError when it cannot be reached.
        """
        return await self.outcome(arguments)

    def call(self, /, **arguments: Any) -> dict[str, Any]:
        """Call the tool: its result, or `{"error": ...}` for what the caller can put right.

        That is a wrong argument, a file that is not there, a language that is not installed. Everything else raises:
        SandboxTerminatedError when the sandbox has ended, TransportError when it cannot be reached.
        """
        return run(self.call_async(**arguments))


def is_for_the_caller(error: AgentRunError) -> bool:
    """Whether whoever called a tool, often a model, can do better next time."""
    if isinstance(error, (InvalidInputError, UnsupportedError)):
        return True
    return isinstance(error, ClientError) and bool(error.status_code) and not isinstance(error, _NOT_THE_CALLERS)


def error_result(error: AgentRunError) -> dict[str, Any]:
    """An error as the result of a call: `error` says what happened and what to do."""
    text = ". ".join(part.rstrip(".") for part in (error.message, error.hint) if part)
    return {"error": text, "error_type": type(error).__name__, "error_code": error.error_code}
