"""What running code gave."""

from __future__ import annotations

from typing import Any, cast

from agentrun.errors import SandboxError


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
    def text(self) -> str | None:
        """The last result as text, None when there is none."""
        return next(reversed(self._texts("result")), None)

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
