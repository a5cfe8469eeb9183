"""Tools and models for smolagents."""

from __future__ import annotations

import base64
import io
import json
import keyword
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

from agentrun.integration._extra import framework
from agentrun.integration._framework import Framework
from agentrun.integration._outcome import Image, ToolOutcome
from agentrun.integration._tool import Tool

with framework("smolagents", "smolagents", "PIL"):
    import PIL.Image
    from smolagents import OpenAIModel
    from smolagents import Tool as NativeTool

from agentrun.integration.smolagents_events import AgentRunConverter

if TYPE_CHECKING:
    from agentrun.integration._model import CommonModel

__all__ = [
    "AgentRunConverter",
    "AgentRunModel",
    "AgentRunTool",
    "knowledgebase_toolset",
    "model",
    "sandbox_toolset",
    "skill_tools",
    "to_model",
    "to_tool",
    "tool_resource",
    "toolset",
]

_NOT_IN_IDENTIFIERS = re.compile(r"\W", re.ASCII)
_SCALARS = ("string", "integer", "number", "boolean")
_TYPES = (*_SCALARS, "object", "array", "null")


class AgentRunTool(NativeTool):  # type: ignore[misc] # smolagents ships no types.
    """A tool as smolagents' own: it gives code a value, and raises what went wrong, which the agent is told.

    A value with pictures is a list: the value, and then the pictures as PIL images. `parameters` is the whole schema;
    `inputs` says as much of it as smolagents has words for. Tools of other agents and threads may share it.
    """

    skip_forward_signature_validation = True  # The arguments are known by their schema alone.
    output_type = "any"

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.name = identifier(tool.name)
        self.description = tool.description
        self.parameters = deepcopy(dict(tool.parameters))
        self.inputs = inputs_of(tool.parameters)
        super().__init__()

    def forward(self, *values: Any, **arguments: Any) -> Any:
        """Call the tool; arguments without a name are in the order of the schema."""
        given = {**dict(zip(self.inputs, values, strict=False)), **arguments}
        return _answer(self.tool.outcome({name: value for name, value in given.items() if self._is_told(name, value)}))

    def _is_told(self, name: str, value: Any) -> bool:
        # Smolagents gives None for what is optional, which a schema need not allow.
        return value is not None or name in self.parameters.get("required", ()) or _allows_null(self._schema_of(name))

    def _schema_of(self, name: str) -> Any:
        return _inlined(self.parameters.get("properties", {}).get(name, {}), self.parameters)


def to_tool(tool: Tool) -> AgentRunTool:
    """A tool as smolagents' own, under a name that Python code can call.

    Smolagents tells tools nothing of whose call it is, so that a session is a list of tools.
    """
    return AgentRunTool(tool)


class AgentRunModel(OpenAIModel):  # type: ignore[misc] # smolagents ships no types.
    """A model over the chat API; of our tools it is sent the whole schemas, not what smolagents keeps of them."""

    def _prepare_completion_kwargs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        prepared: dict[str, Any] = super()._prepare_completion_kwargs(*args, **kwargs)
        tools = kwargs.get("tools_to_call_from") or ()
        schemas = {tool.name: tool.parameters for tool in tools if isinstance(tool, AgentRunTool)}
        for told in prepared.get("tools", ()):
            function = told["function"]
            function["parameters"] = deepcopy(schemas.get(function["name"], function["parameters"]))
        return prepared


def to_model(model: CommonModel) -> AgentRunModel:
    """A model as smolagents' own, over the chat API; it streams where the agent does, and tells its usage."""
    given = model.shared_kwargs()
    return AgentRunModel(model.name, given.pop("base_url"), given.pop("api_key"), client_kwargs=given)


def identifier(name: str) -> str:
    """A name as Python code may have it."""
    plain = _NOT_IN_IDENTIFIERS.sub("_", name)
    return f"_{plain}" if plain[:1].isdigit() or keyword.iskeyword(plain) or not plain else plain


def inputs_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as smolagents describes them: with a type of its own words each, and the rest of their schemas.

    What is optional is nullable, because smolagents wants everything else in each call.
    """
    required = schema.get("required", ())
    found: dict[str, Any] = {}
    for name, given in schema.get("properties", {}).items():
        whole = _inlined(given, schema)
        described = {key: value for key, value in whole.items() if key not in ("anyOf", "oneOf", "allOf")}
        described["type"] = _type_of(whole)
        described["description"] = str(whole.get("description") or "")
        if name not in required or _allows_null(whole):
            described["nullable"] = True
        found[name] = described
    return found


def _type_of(schema: Any) -> str | list[str]:
    """The types that a schema allows; more than one is a list, and any is a list of all."""
    types = sorted(_types_of(schema) - {"null"}) or ["null"]
    return types[0] if len(types) == 1 else types


def _types_of(schema: Any) -> set[str]:
    if not isinstance(schema, Mapping):
        return set(_TYPES)
    given = schema.get("type")
    if given is not None:
        types = set(given) if isinstance(given, list) else {given}
        return types | {"integer"} if "number" in types and len(types) > 1 else types
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    if values is not None:
        return {_type_of_value(value) for value in values}
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return set[str]().union(*(_types_of(each) for each in schema[key]))
    if "allOf" in schema:
        return set(_TYPES).intersection(*(_types_of(each) for each in schema["allOf"]))
    return {"object"} if "properties" in schema else set(_TYPES)


def _type_of_value(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _allows_null(schema: Any) -> bool:
    return "null" in _types_of(schema)


def _inlined(schema: Any, root: Mapping[str, Any], within: tuple[str, ...] = ()) -> Any:
    """A schema with what it refers to in the place of the reference; what holds itself ends as any object."""
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return [_inlined(each, root, within) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    reference = schema.get("$ref")
    rest = {key: _inlined(value, root, within) for key, value in schema.items() if key != "$ref"}
    if not isinstance(reference, str) or not reference.startswith("#"):
        return dict(schema) if reference is not None else rest
    if reference in within:
        return {"type": "object", **rest}
    return {**_inlined(_at(root, reference), root, (*within, reference)), **rest}


def _at(root: Mapping[str, Any], reference: str) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~"), {}) if part else found
    return found


def _answer(outcome: ToolOutcome) -> Any:
    if outcome.error is not None:
        raise outcome.error
    value = outcome.value if outcome.shown is None else _read(outcome.shown)
    return [value, *map(picture, outcome.images)] if outcome.images else value


def _read(text: str) -> Any:
    """What a text says, where it is JSON of more than a word: code wants to reach into it."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return cast(Any, found) if isinstance(found, (dict, list)) else text


def picture(image: Image) -> PIL.Image.Image:
    """A picture as smolagents has them."""
    return PIL.Image.open(io.BytesIO(base64.b64decode(image.data)))


_smolagents = Framework(to_tool, to_model)
model = _smolagents.model
toolset = _smolagents.toolset
tool_resource = _smolagents.tool_resource
sandbox_toolset = _smolagents.sandbox_toolset
knowledgebase_toolset = _smolagents.knowledgebase_toolset
skill_tools = _smolagents.skill_tools
