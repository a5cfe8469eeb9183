"""What running code gave, and what running a command gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from agentrun.errors import SandboxError
from agentrun.sandbox.mime import Result

if TYPE_CHECKING:
    from typing_extensions import Self


class ExecutionResult(dict[str, Any]):
    """The service's answer as it is, `results` and `contextId`, with its usual parts as attributes."""

    @property
    def results(self) -> list[dict[str, Any]]:
        """All pieces of the answer in their order; `type` says what each is."""
        return cast("list[dict[str, Any]]", self.get("results") or [])

    def _texts(self, kind: str) -> list[str]:
        return [str(item.get("text") or "") for item in self.results if item.get("type") == kind]

    @property
    def stdout(self) -> str:
        """What the code printed."""
        return "".join(self._texts("stdout"))

    @property
    def stderr(self) -> str:
        """What the code printed to the error stream."""
        return "".join(self._texts("stderr"))

    @property
    def outputs(self) -> list[Result]:
        """What the code displayed, and last the value of its last line, each in all its formats."""
        return [Result.of(item) for item in self.results if item.get("type") == "result"]

    @property
    def text(self) -> str | None:
        """The last result as text, None when there is none."""
        return next((each.text or "" for each in reversed(self.outputs) if not each.display), None)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error or the timeout that ended the code, None when it ended well."""
        return next((item for item in self.results if item.get("type") in ("error", "timeout")), None)

    def raise_on_error(self) -> ExecutionResult:
        """This result; raises SandboxError when the code failed or took too long."""
        if self.error is None:
            return self
        name = self.error.get("name") or self.error["type"]
        raise SandboxError(f"{name}: {self.error.get('value') or self.error.get('text') or ''}", result=dict(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if self.outputs:
            return dict(self.outputs[-1].data)
        error = str(self.error.get("text") or self.error.get("value") or self.error["type"]) if self.error else ""
        return {"text/plain": self.stdout + self.stderr + error}


class ProcessResult(dict[str, Any]):
    """The service's answer about a command that ended, with its usual parts as attributes."""

    @property
    def _fields(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self.get("result") or self)

    @property
    def status(self) -> str | None:
        """How it ended: `completed`, or `timeout`."""
        return self.get("status")

    @property
    def exit_code(self) -> int | None:
        """Its exit code, 128 plus the number of the signal that ended it; None while it runs."""
        return self._fields.get("exitCode")

    @property
    def stdout(self) -> str:
        """What it printed."""
        return str(self._fields.get("stdout") or "")

    @property
    def stderr(self) -> str:
        """What it printed to the error stream."""
        return str(self._fields.get("stderr") or "")

    def raise_on_error(self) -> Self:
        """This result; raises SandboxError when the exit code is not 0 or the time was over."""
        if self.exit_code == 0 and self.status != "timeout":
            return self
        what = "took too long" if self.status == "timeout" else f"ended with exit code {self.exit_code}"
        raise SandboxError(f"the command {what}: {self.stderr[-500:]}", result=dict(self))
