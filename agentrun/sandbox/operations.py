"""What the families of operations on one sandbox share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
    from agentrun.sandbox.data import CodeInterpreterDataAPI


class Operations:
    """A family of operations on one sandbox."""

    def __init__(self, sandbox: CodeInterpreterSandbox) -> None:
        self._sandbox = sandbox

    @property
    def _api(self) -> CodeInterpreterDataAPI:
        return self._sandbox.data_api
