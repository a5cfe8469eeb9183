"""Jupyter kernels as interpreters, where the package jupyter_client is installed; it is loaded only when asked for."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import re
import subprocess
from typing import Any

from agentrun.emulator.guest.errors import Unavailable
from agentrun.emulator.guest.interpreter import Interpreter
from agentrun.emulator.guest.replies import Bundle, Failure, Reply

PACKAGE = "jupyter_client"
START_SECONDS = 60.0
POLL = 0.25
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def installed() -> list[str]:
    """The names of the kernels that can be started."""
    if importlib.util.find_spec(PACKAGE) is None:
        return []
    return sorted(importlib.import_module(f"{PACKAGE}.kernelspec").KernelSpecManager().find_kernel_specs())


def hint() -> str:
    """What to do for more languages."""
    if importlib.util.find_spec(PACKAGE) is None:
        return f"; Jupyter kernels need the package {PACKAGE} in the sandbox: pip install {PACKAGE}"
    return ""


class Kernel(Interpreter):
    """A Jupyter kernel."""

    def __init__(self, manager: Any, client: Any) -> None:
        super().__init__()
        self._manager = manager
        self._client = client
        self._request = ""
        self._result: Bundle | None = None
        self._error: Failure | None = None
        self._death: Failure | None = None
        self._tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._watch())]

    @classmethod
    async def start(cls, name: str, cwd: str) -> Kernel:
        """Start a kernel and wait until it answers. Raises Unavailable when it does not."""
        managers = importlib.import_module(f"{PACKAGE}.manager")
        manager = managers.AsyncKernelManager(kernel_name=name, transport="ipc")  # nothing listens on a port
        try:
            await manager.start_kernel(cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            client = manager.client()
            client.start_channels()
            await client.wait_for_ready(timeout=START_SECONDS)
        except (RuntimeError, OSError) as error:
            await manager.shutdown_kernel(now=True)
            raise Unavailable(f"the Jupyter kernel {name} does not start: {error}") from None
        return cls(manager, client)

    @property
    def alive(self) -> bool:
        return self._death is None

    def interrupt(self) -> None:
        self._do(self._manager.interrupt_kernel())

    def kill(self) -> None:
        self._do(self._manager.shutdown_kernel(now=True))

    def close(self, reason: str) -> None:
        self._die(Failure("InterpreterExited", "", reason))
        self.kill()
        self._client.stop_channels()
        for task in self._tasks[:2]:
            task.cancel()

    def _do(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    def _send(self, code: str) -> None:
        self._result = self._error = None
        if self._death is not None:
            self._answer(Reply(error=self._death))
        else:
            self._request = self._client.execute(code, allow_stdin=False, stop_on_error=False)

    async def _listen(self) -> None:
        """Take what the kernel publishes; what belongs to an earlier execution is output of this one."""
        while True:
            message: dict[str, Any] = await self._client.get_iopub_msg(timeout=None)
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                self.output.write(content["name"], content["text"].encode("utf-8", "replace"))
            elif kind == "display_data":
                self.output.display(_clean(content["data"]), len(str(content["data"])))
            elif message["parent_header"].get("msg_id") == self._request:
                self._take(kind, content)

    def _take(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "execute_result":
            self._result = _clean(content["data"])
        elif kind == "error":
            text = ANSI.sub("", "\n".join(content["traceback"]))
            self._error = Failure(content["ename"], content["evalue"], text)
        elif kind == "status" and content["execution_state"] == "idle":
            self._answer(Reply(self._result, self._error))

    async def _watch(self) -> None:
        while await self._manager.is_alive():  # noqa: ASYNC110  # it has nothing to wait for
            await asyncio.sleep(POLL)
        text = "the kernel has ended; the state of the context is lost, the next execution starts afresh"
        self._die(Failure("InterpreterExited", "", text))

    def _die(self, death: Failure) -> None:
        self._death = self._death or death
        self._answer(Reply(error=self._death))


def _clean(data: Bundle) -> Bundle:
    """Base64 without line breaks."""
    return {
        kind: value.replace("\n", "") if kind in ("image/png", "image/jpeg") and isinstance(value, str) else value
        for kind, value in data.items()
    }
