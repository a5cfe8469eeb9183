"""The sandbox of one MCP session: made by the first call of a tool, and gone with the session."""

from __future__ import annotations

import asyncio
from typing import Any

from agentrun._core.values import is_object
from agentrun._serving.upstream import UpstreamError
from agentrun.emulator.auth import Tenant
from agentrun.emulator.control.call import Call
from agentrun.emulator.control.sandboxes import Sandboxes
from agentrun.emulator.data.asking import Asking
from agentrun.emulator.data.template_mcp import calls
from agentrun.emulator.wire.envelope import ServiceError

_METADATA = "agentrun-mcp"


class ToolFailed(Exception):
    """A tool could not do what it was asked; the text is for who called it, often a model."""


class SessionSandbox:
    """A sandbox that is made when it is needed; one that ends is not replaced, since what was in it is gone."""

    def __init__(self, sandboxes: Sandboxes, asking: Asking, tenant: Tenant, template_name: str) -> None:
        self._sandboxes = sandboxes
        self._asking = asking
        self._tenant = tenant
        self._template_name = template_name
        self._turn = asyncio.Lock()
        self._id: str | None = None
        self._closed = False

    async def perform(self, call: calls.Call) -> Any:
        """The value that the sandbox answers. Raises ToolFailed."""
        try:
            sandbox_id = await self._created()
            async with self._sandboxes.in_use(self._tenant.scope, sandbox_id) as running:
                status, value = await self._asking.ask(running.socket, call.method, call.path, call.query, call.body)
        except ServiceError as error:
            raise ToolFailed(error.message) from error
        except UpstreamError as error:
            raise ToolFailed(f"the sandbox does not answer: {error}") from error
        if status >= 400:
            raise ToolFailed(str(value.get("message")) if is_object(value) else f"the sandbox answered {status}")
        return value

    async def close(self) -> None:
        """Delete the sandbox if there is one, also one that is just being made."""
        self._closed = True
        async with self._turn:
            sandbox_id, self._id = self._id, None
        if sandbox_id is not None:
            try:
                await self._sandboxes.delete(Call(self._tenant, (sandbox_id,)))
            except ServiceError as error:
                if error.status != 404:  # Somebody else may have deleted it.
                    raise

    async def _created(self) -> str:
        async with self._turn:
            if self._closed:
                raise ToolFailed("the session is over")
            if self._id is None:
                body = {"templateName": self._template_name, "metadata": {_METADATA: self._template_name}}
                made = await self._sandboxes.create(Call(self._tenant, body=body))
                self._id = str(made["sandboxId"])
            return self._id
