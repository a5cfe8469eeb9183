"""Model Studio's HTTP interface: calls that answer at once, and tasks that are asked for until they are over."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from agentrun._core.blocking import sleep
from agentrun.errors import Executed, InvalidResponseError, ToolError, WaitTimeoutError
from agentrun.integration.hub._keys import Key
from agentrun.integration.hub._service import Service

if TYPE_CHECKING:
    from agentrun.config import Config

BASE_URL = "https://dashscope.aliyuncs.com/api/v1"
KEY_VARIABLE = "DASHSCOPE_API_KEY"
URL_VARIABLE = "DASHSCOPE_HTTP_BASE_URL"
_FAILED = ("FAILED", "CANCELED", "UNKNOWN")


@dataclass(frozen=True)
class StudioOptions:
    """How Model Studio is reached; times are seconds.

    The key is `api_key`, or the secret of the Credential named `credential_name`, or DASHSCOPE_API_KEY. `base_url` is
    DASHSCOPE_HTTP_BASE_URL or the public endpoint when it is not given. `models` says which model a tool asks, by the
    tool's name. A task that is not over after `wait_seconds` goes on, and can be fetched where a tool fetches results.
    """

    api_key: str | None = None
    credential_name: str | None = None
    base_url: str | None = None
    config: Config | None = None
    models: Mapping[str, str] | None = None
    user_id: str | None = None
    timeout: float = 60.0
    wait_seconds: float = 600.0
    poll_seconds: float = 3.0

    def __repr__(self) -> str:
        return f"StudioOptions(base_url={self.base_url!r}, credential_name={self.credential_name!r})"


class Studio:
    """Model Studio with a key."""

    def __init__(self, options: StudioOptions) -> None:
        self.options = options
        self._key = Key("Model Studio", KEY_VARIABLE, options.api_key, options.credential_name, options.config)
        base_url = options.base_url or os.environ.get(URL_VARIABLE) or BASE_URL
        self._service = Service(base_url, timeout=options.timeout)

    def model_of(self, tool: str, default: str) -> str:
        """The model that a tool asks."""
        return (self.options.models or {}).get(tool, default)

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The answer to a call; raises ConfigError without a key, and the error that the answer means."""
        key = {"authorization": f"Bearer {await self._key.get()}"}
        return await self._service.call(method, path, body=body, query=query, headers={**key, **(headers or {})})

    async def submit(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Begin a task: `task_id`, `task_status`, `request_id`."""
        answer = await self.call("POST", path, body=body, headers={"x-dashscope-async": "enable"})
        output = output_of(answer)
        if not output.get("task_id"):
            raise InvalidResponseError("Model Studio began no task")
        return {
            "task_id": str(output["task_id"]),
            "task_status": str(output.get("task_status") or "PENDING"),
            "request_id": answer.get("request_id"),
        }

    async def task(self, tool: str, task_id: str) -> dict[str, Any]:
        """A task as it is now, as the whole answer; raises ToolError when it failed, was cancelled or is not known."""
        if not task_id.replace("-", "").replace("_", "").isalnum():
            raise ToolError(f"{task_id!r:.100} is no task id", tool=tool, executed=Executed.NO)
        answer = await self.call("GET", f"/tasks/{task_id}")
        output = output_of(answer)
        status = str(output.get("task_status"))
        if status in _FAILED:
            reason = output.get("message") or f"the task ended with {status}"
            raise ToolError(str(reason), tool=tool, error_code=output.get("code") or status)
        return answer

    async def finished(self, tool: str, task_id: str) -> dict[str, Any]:
        """The answer for a task that has succeeded; raises ToolError when it fails, or WaitTimeoutError."""
        deadline = time.monotonic() + self.options.wait_seconds
        while True:
            answer = await self.task(tool, task_id)
            if output_of(answer).get("task_status") == "SUCCEEDED":
                return answer
            if time.monotonic() + self.options.poll_seconds > deadline:
                raise WaitTimeoutError(
                    f"{tool}: task {task_id} is not over after {self.options.wait_seconds:g} s",
                    hint="It goes on; fetch it later, or raise wait_seconds",
                )
            await sleep(self.options.poll_seconds)

    async def download(self, url: str) -> dict[str, Any]:
        """The JSON at an address that Model Studio gave; the key is not sent there."""
        return await Service(url, timeout=self.options.timeout).call("GET", "")


def output_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The output of an answer; raises InvalidResponseError when there is none."""
    output = answer.get("output")
    if not isinstance(output, dict):
        raise InvalidResponseError("Model Studio answered without an output")
    return cast("dict[str, Any]", output)
