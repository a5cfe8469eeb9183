"""One tool, wherever it comes from and whichever framework it goes to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, cast

from agentrun._core.blocking import run
from agentrun._core.progress import Progress, watched
from agentrun.errors import InvalidInputError
from agentrun.integration._outcome import ToolOutcome, plain_outcome
from agentrun.integration._session import current_session, session

Schema: TypeAlias = Mapping[str, Any]
Perform: TypeAlias = Callable[[dict[str, Any]], Awaitable[Any]]
Present: TypeAlias = Callable[[Any], ToolOutcome]

LONGEST_NAME = 64
_KEPT_OF_LONG = 32
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
NO_PARAMETERS: Schema = {"type": "object", "properties": {}}


@dataclass(frozen=True)
class Tool:
    """A tool: what a model is told of it, and what a call does.

    `parameters` is the JSON Schema of its arguments, whole: nested objects, enums, defaults and `$defs` stay as they
    are. `perform` is its body; it checks its arguments, and is written once for both modes. `present` says what of a
    result a model is shown.
    """

    name: str
    description: str
    parameters: Schema = field(default_factory=lambda: dict(NO_PARAMETERS), repr=False)
    perform: Perform = field(kw_only=True, repr=False)
    present: Present = field(default=plain_outcome, kw_only=True, repr=False)

    async def call_async(self, /, **arguments: Any) -> Any:
        """Call the tool; its result. Raises InvalidInputError, ToolError, and what else its body raises."""
        return await self.perform(arguments)

    def call(self, /, **arguments: Any) -> Any:
        """Call the tool; its result. Raises InvalidInputError, ToolError, and what else its body raises."""
        return run(self.call_async(**arguments))

    def __call__(self, /, **arguments: Any) -> Any:
        """The same as `call`."""
        return self.call(**arguments)

    async def outcome_async(
        self, arguments: Mapping[str, Any] | str, session_id: str | None = None, progress: Progress | None = None
    ) -> ToolOutcome:
        """What a call came to, for arguments that a model wrote; an error is an outcome and is not raised.

        The arguments may be JSON text, which models get wrong: that too is an outcome. `session_id` tells the agent's
        session; tools that keep something, such as a sandbox, keep it for each.
        """
        with session(session_id or current_session()), watched(progress):
            try:
                return self.present(await self.perform(parsed_arguments(arguments)))
            except Exception as error:
                return ToolOutcome(error=error)

    def outcome(
        self, arguments: Mapping[str, Any] | str, session_id: str | None = None, progress: Progress | None = None
    ) -> ToolOutcome:
        """What a call came to, for arguments that a model wrote; an error is an outcome and is not raised.

        The arguments may be JSON text, which models get wrong: that too is an outcome. `session_id` tells the agent's
        session; tools that keep something, such as a sandbox, keep it for each.
        """
        return run(self.outcome_async(arguments, session_id, progress))

    # In other words

    def get_parameters_schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return dict(self.parameters)

    def to_openai_function(self) -> dict[str, Any]:
        """The tool as the chat API of OpenAI takes it."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}

    def to_anthropic_tool(self) -> dict[str, Any]:
        """The tool as the messages API of Anthropic takes it."""
        return {"name": self.name, "description": self.description, "input_schema": dict(self.parameters)}

    def renamed(self, name: str) -> Tool:
        """The same tool under another name, which is put in a form that all models take."""
        return replace(self, name=normalize_tool_name(name))


def normalize_tool_name(name: str) -> str:
    """A name that all models take: letters, digits, `_` and `-`, at most 64 of them.

    A longer one becomes its first 32 characters and a hash of the whole.
    """
    plain = _NOT_IN_NAMES.sub("_", name) or "_"
    if len(plain) <= LONGEST_NAME:
        return plain
    return plain[:_KEPT_OF_LONG] + hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def parsed_arguments(arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    """The arguments of a call as a dict, from JSON text if they are that; raises InvalidInputError, which says why."""
    if not isinstance(arguments, str):
        return dict(arguments)
    try:
        found = json.loads(arguments or "{}")
    except ValueError as error:
        raise InvalidInputError(f"the arguments are not JSON: {error}", field="arguments") from None
    if not isinstance(found, dict):
        raise InvalidInputError(
            f"the arguments are not an object: {arguments:.200}", field="arguments", hint="Give an object of arguments"
        )
    return cast("dict[str, Any]", found)
