"""A sandbox whose code is hostile, and the ways in which a test lets it act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.emulator.hostile.grounds import Ground, Neighbour
from tests.emulator.inside import Inside

# For what only the program inside or the emulator has to withstand, however the walls around it are made.
whatever_the_walls = pytest.mark.parametrize("place", ["process", "docker"], indirect=True)


@dataclass(frozen=True)
class Outcome:
    """What one execution came to."""

    status: int
    results: list[dict[str, Any]]

    def text(self, kind: str) -> str:
        """All text of one kind: stdout, stderr, result, error, timeout."""
        return "".join(str(entry.get("text", "")) for entry in self.results if entry["type"] == kind)

    @property
    def ending(self) -> str:
        """ok, error or timeout."""
        return str(self.results[-1].get("status"))

    @property
    def error(self) -> str:
        """The name of the error, empty when there was none."""
        return "".join(str(entry["name"]) for entry in self.results if entry["type"] == "error")

    @property
    def said(self) -> str:
        """Everything it wrote, without the last line feed."""
        return (self.text("stdout") + self.text("stderr")).strip()


@dataclass(frozen=True)
class Arena:
    """The attacker and its neighbour on one ground."""

    ground: Ground
    attacker: Inside
    neighbour: Neighbour

    def python(self, code: str, timeout: float = 10, context: str | None = None) -> Outcome:
        """Execute in the attacker."""
        body: dict[str, Any] = {"code": code, "timeout": timeout}
        if context is not None:
            body["contextId"] = context
        answer = self.attacker.call("POST", "contexts/execute", body)
        results: list[dict[str, Any]] = answer.json()["results"] if answer.status_code == 200 else []
        return Outcome(answer.status_code, results)

    def context(self) -> str:
        """The id of a new context of the attacker."""
        return str(self.request("POST", "contexts", {"language": "python"}).json()["id"])

    def command(self, command: str, timeout: float = 10) -> dict[str, Any]:
        """Run a command in the attacker; its result."""
        answer = self.attacker.call("POST", "processes/cmd", {"command": command, "timeout": timeout})
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()["result"]
        return result

    def said(self, command: str, timeout: float = 10) -> str:
        """What a command in the attacker wrote to both outputs."""
        result = self.command(command, timeout)
        return str(result["stdout"] + result["stderr"])

    def request(self, method: str, below: str, body: Any = None, /, **query: str) -> httpx.Response:
        """A request about the attacker's files or processes."""
        return self.attacker.call(method, below, body, **query)

    def still_works(self) -> bool:
        """Whether the attacker itself can go on after what it did."""
        return self.python("1 + 1").text("result") == "2"
