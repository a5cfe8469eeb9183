"""Where code inside may let the emulator connect to: the gateway of models would reach what a sandbox must not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentrun._serving.values import is_list, is_object
from agentrun.emulator.wire.envelope import forbidden

# The fields that name where the emulator itself will ask: models, key sets, tokens.
_NAMES = ("baseUrl", "uri", "tokenUrl")


def check_from_inside(body: Any, own: str) -> None:
    """Refuse (403) a request of code inside that names another address than the emulator's `own`."""
    for name, url in _addresses(body):
        if not url.startswith(f"{own}/"):
            raise forbidden(
                "ERR_INSIDE_REFUSED",
                f"{name} {url}: code in sandboxes and agent runtimes may only name addresses below {own}/, because the "
                "emulator would connect to what they cannot reach; create this resource from outside of them",
            )


def _addresses(value: Any) -> Iterator[tuple[str, str]]:
    if is_object(value):
        for name in _NAMES:
            if isinstance(value.get(name), str):
                yield name, value[name]
        for entry in value.values():
            yield from _addresses(entry)
    elif is_list(value):
        for entry in value:
            yield from _addresses(entry)
