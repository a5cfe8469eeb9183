"""One tool, wherever it comes from and whichever framework it goes to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from agentrun._core.blocking import run
from agentrun._core.progress import Progress, watched
from agentrun.errors import InvalidInputError
from agentrun.integration._body import Body, by_model, by_schema, by_signature
from agentrun.integration._conversions import ToolConversions
from agentrun.integration._outcome import ToolOutcome, plain_outcome
from agentrun.integration._parameter import Schema, ToolParameter, schema_of_model, schema_of_parameters
from agentrun.integration._session import current_session, session
from agentrun.integration._signature import documented

if TYPE_CHECKING:
    from pydantic import BaseModel

Perform: TypeAlias = Callable[[dict[str, Any]], Awaitable[Any]]
Present: TypeAlias = Callable[[Any], ToolOutcome]

LONGEST_NAME = 64
_KEPT_OF_LONG = 32
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
NO_PARAMETERS: Schema = {"type": "object", "properties": {}}


@dataclass(frozen=True, init=False)
class Tool(ToolConversions):
    """A tool: what a model is told of it, and what a call does.

    `parameters` is the JSON Schema of its arguments, whole: nested objects, enums, defaults and `$defs` stay as they
    are. It may be given as a list of ToolParameter, or be left away where a pydantic model, `args_schema`, or the hints
    of a function, `func`, say it. `perform` is the body; it checks its arguments, and is written once for both modes.
    With `func` it follows from the function, sync or async. `present` says what of a result a model is shown.
    """

    name: str
    description: str
    parameters: Schema = field(repr=False)
    args_schema: type[BaseModel] | None = field(repr=False)
    func: Callable[..., Any] | None = field(repr=False)
    perform: Perform = field(repr=False)
    present: Present = field(repr=False)

    def __init__(
        self,
        name: str,
        description: str = "",
        parameters: Schema | Sequence[ToolParameter] | None = None,
        args_schema: type[BaseModel] | None = None,
        func: Callable[..., Any] | None = None,
        *,
        perform: Perform | None = None,
        present: Present = plain_outcome,
    ) -> None:
        schema = _schema(parameters, args_schema)
        if perform is None:
            perform, description = _body(name, description, schema, args_schema, func)
            schema = perform.schema
        values = (name, description, NO_PARAMETERS if schema is None else schema, args_schema, func, perform, present)
        for spec, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, spec.name, value)

    def __get__(self, instance: object | None, owner: type | None = None) -> Tool:
        # A decorated method is a tool of each object, as a function in a class is a method of each.
        return self if instance is None else self.bind(instance)

    def bind(self, instance: Any) -> Tool:
        """The tool of this object, when it was made of a method; another tool stays as it is."""
        bound: Callable[[Any], Perform] | None = getattr(self.perform, "bound", None)
        return self if bound is None else replace(self, perform=bound(instance))

    async def call_async(self, /, **arguments: Any) -> Any:
        """Call the tool; its result. Raises InvalidInputError, ToolError, and what else its body raises."""
        return await self.perform(arguments)

    def call(self, /, **arguments: Any) -> Any:
        """Call the tool; its result. Raises InvalidInputError, ToolError, and what else its body raises."""
        return run(self.call_async(**arguments))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """The same as `call`; arguments by position are those of the schema in its order."""
        return self.call(**dict(zip(self.parameters.get("properties") or (), args, strict=False)), **kwargs)

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

    openai = to_openai_function

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


def _schema(parameters: Schema | Sequence[ToolParameter] | None, args_schema: type[BaseModel] | None) -> Schema | None:
    if isinstance(parameters, Mapping):
        return parameters
    if parameters is not None:
        return schema_of_parameters(parameters)
    return None if args_schema is None else schema_of_model(args_schema)


def _body(
    name: str,
    description: str,
    schema: Schema | None,
    args_schema: type[BaseModel] | None,
    func: Callable[..., Any] | None,
) -> tuple[Body, str]:
    """A function as the body of a tool, and the tool's description: the function's own when there is no other."""
    if func is None:
        raise InvalidInputError(f"the tool {name} has nothing to do", field="func", hint="Give it a func or a perform")
    if args_schema is not None:
        return by_model(name, func, args_schema), description or documented(func).text
    if schema is not None:
        return by_schema(name, func, schema), description or documented(func).text
    body, said = by_signature(name, func)
    return body, description or said
