"""Prints a pip constraint for each direct dependency of agentrun and its emulator: the lowest version allowed."""

from __future__ import annotations

from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet


def lowest(requirement: Requirement) -> str | None:
    """The requirement pinned to its lower bound, None when it has none or is for another platform or extra."""
    bounds = [specifier.version for specifier in requirement.specifier if specifier.operator == ">="]
    if not bounds or not (requirement.marker is None or requirement.marker.evaluate({"extra": "emulator"})):
        return None
    return f"{requirement.name}{SpecifierSet(f'=={bounds[0]}')}"


if __name__ == "__main__":
    pins = [lowest(Requirement(line)) for line in requires("agentrun") or ()]
    print(*sorted(pin for pin in pins if pin), sep="\n")
