"""Prints a pip constraint for each direct dependency of agentrun and the extras that are tested: its lowest version."""

from __future__ import annotations

from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

# Not celery: it asks for a newer redis than all others.
EXTRAS = (
    "emulator",
    "data",
    "docker",
    "gateway",
    "kernels",
    "mysql",
    "postgresql",
    "redis",
    "server",
    "tools",
    "tracing",
)


def lowest(requirement: Requirement) -> str | None:
    """The requirement pinned to its lower bound, None when it has none or is for another platform or extra."""
    bounds = [specifier.version for specifier in requirement.specifier if specifier.operator == ">="]
    if not bounds or not is_wanted(requirement):
        return None
    return f"{requirement.name}{SpecifierSet(f'=={bounds[0]}')}"


def is_wanted(requirement: Requirement) -> bool:
    """Whether it is needed here, by the core or by one of the extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in EXTRAS)


if __name__ == "__main__":
    pins = [lowest(Requirement(line)) for line in requires("agentrun") or ()]
    print(*sorted(pin for pin in pins if pin), sep="\n")
