"""JSON schemas by the `jsonschema` package, which takes its time to load: import this module where it is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import (
    SchemaError,
    ValidationError,
    best_match,  # pyright: ignore[reportUnknownVariableType]  # its stub leaves open what it returns
)
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

_most_wrong = cast("Callable[[Iterable[ValidationError]], ValidationError | None]", best_match)


class InvalidSchemaError(Exception):
    """It is no schema, or one that leads nowhere; the text says why."""


@lru_cache(maxsize=64)
def compile_schema(text: str) -> Validator:
    """Make the validator of a schema that is written as JSON; raises InvalidSchemaError."""
    schema = json.loads(text)
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise InvalidSchemaError(f"{error.json_path}: {error.message}") from error
    # An empty registry, because the usual one would fetch a `$ref` to another address from there.
    return kind(schema, registry=Registry())


def first_fault(validator: Validator, value: Any) -> str | None:
    """Return the path to, and the text of, what is most wrong with a value; raises InvalidSchemaError."""
    try:
        fault = _most_wrong(validator.iter_errors(value))
    except (Unresolvable, RecursionError) as error:
        raise InvalidSchemaError(f"it leads nowhere: {error}") from error
    return None if fault is None else f"{fault.json_path}: {fault.message}"
