"""Says when two requests are the same: by their values, whatever their order and whichever secrets they hold."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun.gateway.recording.redaction import Redactor
from agentrun.gateway.recording.secret_types import SecretType


@dataclass(frozen=True)
class Normalised:
    """A request in the form in which it is compared: secrets are numbered by their order in this request alone.

    `secrets` are what the placeholders stand for: secrets, or the placeholders of a recording.
    """

    operation: str
    fields: Mapping[str, Any]
    secrets: Mapping[str, str]

    @property
    def key(self) -> str:
        """The same for requests that are the same."""
        return f"{self.operation}\n{json.dumps(self.fields)}"


def normalised(
    operation: str, request: Mapping[str, Any], more: Collection[SecretType] = (), known: Iterable[str] = ()
) -> Normalised:
    """The normal form of a request, which may have been redacted already."""
    redactor = Redactor(more, known, placeholders=True)
    fields = redactor.value(_sorted(request))
    return Normalised(operation, fields, redactor.secrets)


def _sorted(value: Any) -> Any:
    """A value with its names in order, and a number written in one way only."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if is_object(value):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if is_list(value):
        return [_sorted(entry) for entry in value]
    return value
