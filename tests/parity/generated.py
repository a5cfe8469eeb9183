"""The control client that the service generates for everybody, unmodified, in its two modes.

An operation is called by its action with values in the wire's names; requests are built with the client's own models,
so what they do not know is lost here as it is for their users.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

SYNC, ASYNC = "sync", "async"
MODES = (SYNC, ASYNC)

# The packages ship no types.
_CLIENT: Any = importlib.import_module("alibabacloud_agentrun20250910.client")
_MODELS: Any = importlib.import_module("alibabacloud_agentrun20250910.models")
_SETTINGS: Any = importlib.import_module("alibabacloud_tea_openapi.utils_models")
_ERRORS: Any = importlib.import_module("alibabacloud_tea_openapi.exceptions")

# Its names are those of the actions, but not even the client itself agrees with itself on underscores.
_METHODS = {name.replace("_", ""): name for name in dir(_CLIENT.Client) if not name.startswith("_")}
_REQUESTS = {name.lower(): name for name in dir(_MODELS) if name.endswith("Request")}


class Refused(Exception):
    """An error of the client: the name of its class, and what it understood."""

    def __init__(self, kind: str, status: int, code: str, text: str, request_id: str) -> None:
        super().__init__(f"{status} {code}: {text}")
        self.kind = kind
        self.status = status
        self.code = code
        self.text = text
        self.request_id = request_id


class Generated:
    """The client of one access key. `endpoint` is a host and a port: the client insists on HTTPS."""

    def __init__(self, endpoint: str, access_key_id: str, secret: str, mode: str = SYNC) -> None:
        self._suffix = "_async" if mode == ASYNC else ""
        self._client = _CLIENT.Client(
            _SETTINGS.Config(
                access_key_id=access_key_id, access_key_secret=secret, endpoint=endpoint, region_id="cn-hangzhou"
            )
        )

    async def call(self, action: str, *names: str, **given: Any) -> Any:
        """The data of the answer to an operation, as the client's models show it.

        `names` fill the path; `given` are query parameters and `body`. Raises Refused.
        """
        method = getattr(self._client, _METHODS[action.lower()] + self._suffix)
        arguments: list[Any] = list(names)
        if "request" in inspect.signature(method).parameters:
            arguments.append(_request(action, given))
        try:
            answered = method(*arguments)
            response = await answered if self._suffix else answered
        except _ERRORS.AlibabaCloudException as error:
            raise _refused(error) from error
        return response.to_map()["body"]["data"]


def _request(action: str, given: Mapping[str, Any]) -> Any:
    request = getattr(_MODELS, _REQUESTS[f"{action.lower()}request"])().from_map(dict(given))
    known = request.to_map()
    lost = set(given) - set(known)
    if lost:
        raise AssertionError(f"the generated client cannot send {', '.join(sorted(lost))} with {action}")
    return request


def _refused(error: Any) -> Refused:
    return Refused(type(error).__name__, error.status_code, error.code, error.data["message"], error.request_id)
