"""Reads the fields of requests; what is wrong is told with the path of its field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agentrun._core.values import is_list
from agentrun._serving.openai_error import ApiError, bad_request

M = TypeVar("M", bound=BaseModel)


def listed(body: Mapping[str, Any], name: str) -> list[Any]:
    """A list that may be missing; raises ApiError."""
    found = body.get(name)
    if found is None:
        return []
    if not is_list(found):
        raise bad_request(f"{name} is a {type(found).__name__}, not a list", "invalid_type", name)
    return found


def validated(model: type[M], document: Any, path: str) -> M:
    """A part of a request as a model; `path` is where it stands, empty for the whole. Raises ApiError."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _invalid(error, path) from error


def _invalid(error: ValidationError, path: str) -> ApiError:
    found = error.errors(include_url=False)[0]
    # Which member of a union was tried is no part of the document.
    where = [part for part in found["loc"] if not (isinstance(part, str) and ("[" in part or part == "str"))]
    full = path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    full = full.removeprefix(".")
    return bad_request(f"{full}: {found['msg']}", "invalid_value", full)
