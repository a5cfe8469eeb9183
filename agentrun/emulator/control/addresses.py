"""Where code inside may let the emulator connect to: its gateways would reach what a sandbox must not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun.emulator.control import tool_specs
from agentrun.emulator.wire.envelope import ServiceError, forbidden

# The fields that name where the emulator itself will ask: models, key sets, tokens.
_NAMES = ("baseUrl", "uri", "tokenUrl")
# Texts that hold addresses, of tools and of tool sets.
_TEXTS = ("protocolSpec", "detail")


def check_from_inside(body: Any, own: str) -> None:
    """Refuse (403) a request of code inside that names another address than the emulator's `own`.

    Of tools, not even that: who calls one through the emulator could reach all of the emulator as if from outside.
    """
    for name, value in _named(body):
        if name in _NAMES and not value.startswith(f"{own}/"):
            raise _refusal(f"{name} {value}", f"may only name addresses below {own}/")
        if name in _TEXTS and (found := tool_specs.addresses(value)) != []:
            raise _refusal(f"{name} {found[0] if found else 'cannot be read'}", "may name no addresses for tools")


def _refusal(what: str, rule: str) -> ServiceError:
    return forbidden(
        "ERR_INSIDE_REFUSED",
        f"{what}: code in sandboxes and agent runtimes {rule}, because the emulator would connect to what they cannot "
        "reach; create this resource from outside of them",
    )


def _named(value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a body that may hold addresses, with its name."""
    if is_object(value):
        for name, entry in value.items():
            if isinstance(entry, str) and name in (*_NAMES, *_TEXTS):
                yield name, entry
            else:
                yield from _named(entry)
    elif is_list(value):
        for entry in value:
            yield from _named(entry)
