"""JSON of a shape: whether a value has the shape that a request wants, and the smallest value that has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from agentrun._serving.openai_error import bad_request
from agentrun.emulator.scripted.example import NoExampleError, make_example

_ANY_OBJECT: Mapping[str, object] = {"type": "object"}


@dataclass(frozen=True)
class OutputFormat:
    """The JSON that a request wants: what `schema` describes; `where` is the request field that holds it.

    A schema that is none raises ApiError 400.
    """

    schema: Mapping[str, object]
    where: str

    def __post_init__(self) -> None:
        self.fault_of({})

    @classmethod
    def any_object(cls, where: str) -> OutputFormat:
        """Any JSON object will do."""
        return cls(_ANY_OBJECT, where)

    def fault_of(self, value: object) -> str | None:
        """Return where in a value, and why, it has not the shape; None when it has."""
        if self.schema == _ANY_OBJECT:
            return None if isinstance(value, Mapping) else "$: it is no object"
        # Here, because the library behind it takes 50 ms to load and few requests have a schema.
        from agentrun.emulator.scripted import validation

        try:
            return validation.first_fault(validation.compile_schema(json.dumps(self.schema)), value)
        except validation.InvalidSchemaError as error:
            text = f"{self.where} is no JSON schema that can be followed: {error}."
            raise bad_request(text, "invalid_json_schema", self.where) from error

    def example(self) -> object:
        """Make the smallest value of the shape, the same every time; raises NoExampleError where none is found."""
        try:
            made = make_example(self.schema)
        except RecursionError as error:
            raise NoExampleError("the schema is nested too deeply") from error
        if fault := self.fault_of(made):
            raise NoExampleError(fault)
        return made
