"""Every exception that agentrun raises.

    AgentRunError
    ├─ ConfigError                 a setting is missing or wrong                     (is a ValueError)
    ├─ InvalidInputError           an argument is unknown, missing or of wrong type  (is a ValueError)
    ├─ CredentialError             a credential cannot be shown in a request
    ├─ BlockingError               a synchronous call met code that must be awaited  (is a RuntimeError)
    ├─ HTTPError                   the service answered with an error
    │  ├─ ClientError              4xx
    │  │  ├─ AuthenticationError   401
    │  │  ├─ PermissionDeniedError 403
    │  │  ├─ RateLimitError        429
    │  │  ├─ SandboxTerminatedError 410: the sandbox is over; a SandboxError too
    │  │  └─ TransportError        no usable answer; status_code is 0
    │  │     ├─ ConnectError       nothing was sent
    │  │     ├─ RequestTimeoutError                                                  (is a TimeoutError)
    │  │     └─ InvalidResponseError  the answer is not what the service promises
    │  └─ ServerError              5xx
    │     └─ UnsupportedError      501: this platform does not do that
    ├─ ResourceNotExistError       the resource is not there
    ├─ ResourceAlreadyExistError   the name is taken
    ├─ ResourceFailedError         a resource ended in CREATE_FAILED, UPDATE_FAILED or DELETE_FAILED
    │  └─ DeleteResourceError      it could not be deleted
    ├─ WaitTimeoutError            a resource did not get ready in time              (is a TimeoutError)
    ├─ SandboxError                code, files or processes in a sandbox
    ├─ BrowserToolError            a browser tool failed
    ├─ StorageError                what a service keeps cannot be reached            (is a RuntimeError)
    ├─ DeploymentError             an application does not start where it was brought
    └─ ToolError                   a tool failed, or its server refused the call

The root carries what helps to act: `status_code`, `error_code`, `request_id`, `executed` and `hint`, each None (or
`Executed.UNKNOWN`) where it does not apply. `executed` says whether the service carried the request out, which
decides whether it may be sent again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

__all__ = [
    "AgentRunError",
    "AuthenticationError",
    "BlockingError",
    "BrowserToolError",
    "ClientError",
    "ConfigError",
    "ConnectError",
    "CredentialError",
    "DeleteResourceError",
    "DeploymentError",
    "Executed",
    "HTTPError",
    "InvalidInputError",
    "InvalidResponseError",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestTimeoutError",
    "ResourceAlreadyExistError",
    "ResourceFailedError",
    "ResourceNotExistError",
    "SandboxError",
    "SandboxTerminatedError",
    "ServerError",
    "StorageError",
    "ToolError",
    "TransportError",
    "UnsupportedError",
    "WaitTimeoutError",
]


class Executed(str, Enum):
    """Whether the service carried a failed request out."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class AgentRunError(Exception):
    """The root of all errors: `message`, and where they apply status, code, request id, executed and hint."""

    status_code: int | None = None
    error_code: str | None = None
    request_id: str | None = None
    executed: Executed = Executed.UNKNOWN
    hint: str | None = None

    def __init__(self, message: str = "", *, hint: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = details

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Constructors differ in their arguments; a copy or a pickle takes over what the error holds instead.
        return _restored, (type(self), self.args, self.__dict__)

    @property
    def code(self) -> str | None:
        """The service's error code, such as `ERR_NOT_FOUND`; the same as `error_code`."""
        return self.error_code

    @property
    def status(self) -> int | None:
        """The HTTP status; the same as `status_code`."""
        return self.status_code


def _restored(kind: type[AgentRunError], arguments: tuple[Any, ...], state: dict[str, Any]) -> AgentRunError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(state)
    return error


class ConfigError(AgentRunError, ValueError):
    """A setting is missing or wrong; the hint names the argument and the environment variable."""

    executed = Executed.NO


class InvalidInputError(AgentRunError, ValueError):
    """An argument is unknown, missing or of the wrong type; `field` names it."""

    executed = Executed.NO

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class CredentialError(AgentRunError):
    """A credential cannot be shown in a request: it is disabled, incomplete, or refused by its token server.

    `credential_name` names it; the text holds no secret.
    """

    executed = Executed.NO

    def __init__(self, credential_name: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"credential {credential_name!r} cannot be used: {reason}", hint=hint)
        self.credential_name = credential_name


class BlockingError(AgentRunError, RuntimeError):
    """A synchronous call met code that needs an event loop; use the `_async` method instead."""

    executed = Executed.NO


class HTTPError(AgentRunError):
    """The service answered with an error status, or gave no usable answer (`status_code` 0)."""

    def __init__(
        self,
        status_code: int,
        message: str,
        request_id: str | None = None,
        error_code: str | None = None,
        response_body: Any = None,
        response_headers: Mapping[str, Any] | None = None,
        *,
        executed: Executed = Executed.UNKNOWN,
        hint: str | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, hint=hint, **details)
        self.status_code = status_code
        self.request_id = request_id
        self.error_code = error_code
        self.response_body = response_body
        self.response_headers: dict[str, Any] = dict(response_headers or {})
        self.executed = executed

    def __str__(self) -> str:
        parts = [f"HTTP {self.status_code}: {self.message}" if self.status_code else self.message]
        if self.error_code:
            parts.append(f"Error Code: {self.error_code}")
        if self.request_id:
            parts.append(f"Request ID: {self.request_id}")
        if self.hint:
            parts.append(self.hint)
        return ". ".join(part.rstrip(".") for part in parts)

    def to_resource_error(self, resource_type: str, resource_id: str | None = "") -> AgentRunError:
        """The error about the resource when the answer is about its existence, else this error itself.

        The service tells by its text: 404 with "does not exist" or "not found"; 400, 409 or 500 with
        "already exists".
        """
        text = self.message.lower()
        if self.status_code == 404 and ("does not exist" in text or "not found" in text):
            return ResourceNotExistError(resource_type, resource_id, source=self)
        if self.status_code in (400, 409, 500) and "already exists" in text:
            return ResourceAlreadyExistError(resource_type, resource_id, source=self)
        return self


class ClientError(HTTPError):
    """The request was refused (4xx), or never got a usable answer (0)."""


class AuthenticationError(ClientError):
    """The access key or its signature was refused (401)."""


class PermissionDeniedError(ClientError):
    """The access key may not do this (403)."""


class RateLimitError(ClientError):
    """Too many requests (429); `retry_after` is in seconds when the service said so."""

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, None when the answer does not say."""
        return seconds_to_wait(self.response_headers)


class TransportError(ClientError):
    """The request got no usable answer; `executed` says what is known of it."""

    def __init__(self, message: str, *, executed: Executed = Executed.UNKNOWN, hint: str | None = None) -> None:
        super().__init__(0, message, executed=executed, hint=hint)


class ConnectError(TransportError):
    """No connection could be made, so nothing was sent."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, executed=Executed.NO, hint=hint)


class RequestTimeoutError(TransportError, TimeoutError):
    """The time given was over before the answer was complete."""


class InvalidResponseError(TransportError):
    """The answer is not what the service promises: not JSON, or without its data."""


class ServerError(HTTPError):
    """The service failed (5xx)."""


class UnsupportedError(ServerError):
    """This platform does not do that (501); the message says why."""


class _ResourceError(AgentRunError):
    """An error about one resource; keeps the status, code and request id of the answer it stems from."""

    def __init__(self, message: str, resource_type: str, resource_id: str | None, source: AgentRunError | None) -> None:
        super().__init__(message)
        self.resource_type = resource_type
        self.resource_id = resource_id or ""
        if source is not None:
            self.status_code, self.error_code = source.status_code, source.error_code
            self.request_id, self.executed = source.request_id, source.executed


class ResourceNotExistError(_ResourceError):
    """The resource is not there."""

    def __init__(
        self, resource_type: str, resource_id: str | None = "", *, source: AgentRunError | None = None
    ) -> None:
        super().__init__(f"{resource_type} {resource_id!r} does not exist", resource_type, resource_id, source)


class ResourceAlreadyExistError(_ResourceError):
    """The name is taken."""

    def __init__(
        self, resource_type: str, resource_id: str | None = "", *, source: AgentRunError | None = None
    ) -> None:
        super().__init__(f"{resource_type} {resource_id!r} already exists", resource_type, resource_id, source)


class ResourceFailedError(AgentRunError):
    """A resource ended in a failed state; the message holds the service's reason."""


class DeleteResourceError(ResourceFailedError):
    """A resource could not be deleted."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or "the resource could not be deleted")


class WaitTimeoutError(AgentRunError, TimeoutError):
    """A resource did not reach its final state in the time given."""


class SandboxError(AgentRunError):
    """Something inside a sandbox failed, or the sandbox is not there any more."""


class SandboxTerminatedError(ClientError, SandboxError):
    """The sandbox has ended (410): `reason` says why, `executed` whether the call was carried out before."""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        executed: Executed = Executed.UNKNOWN,
        source: HTTPError | None = None,
    ) -> None:
        super().__init__(410, message, executed=executed)
        self.reason = reason or message
        if source is not None:
            self.request_id, self.error_code = source.request_id, source.error_code
            self.response_body, self.response_headers = source.response_body, source.response_headers


class BrowserToolError(AgentRunError):
    """A browser tool failed; `operation` names it."""

    def __init__(self, message: str, operation: str | None = None) -> None:
        super().__init__(message)
        self.operation = operation


class StorageError(AgentRunError, RuntimeError):
    """What a service of an agent keeps cannot be reached or read: it is not started, or its database is away."""


class DeploymentError(AgentRunError):
    """An application does not start where it was brought; the text has the last lines that it wrote."""


class ToolError(AgentRunError):
    """A tool failed, or the server that has it refused the call; `tool` names it, `content` is all that it answered."""

    def __init__(
        self,
        message: str,
        *,
        tool: str | None = None,
        content: Sequence[Mapping[str, Any]] = (),
        error_code: str | None = None,
        executed: Executed = Executed.YES,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.tool = tool
        self.content = [dict(part) for part in content]
        self.error_code = error_code
        self.executed = executed

    def __str__(self) -> str:
        text = super().__str__()
        return f"tool {self.tool!r}: {text}" if self.tool else text


_BY_STATUS: dict[int, type[HTTPError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    429: RateLimitError,
    501: UnsupportedError,
}


def seconds_to_wait(headers: Mapping[str, Any]) -> float | None:
    """The seconds of a `retry-after` header, None when there is none; a date counts as none."""
    value = str(headers.get("retry-after", ""))
    return float(value) if value.isascii() and value.replace(".", "", 1).isdigit() else None


def from_response(
    status_code: int,
    message: str,
    *,
    error_code: str | None = None,
    request_id: str | None = None,
    body: Any = None,
    headers: Mapping[str, Any] | None = None,
) -> HTTPError:
    """The error for an answer of the service; a 4xx was not executed, of a 5xx nobody knows."""
    kind = _BY_STATUS.get(status_code) or (ServerError if status_code >= 500 else ClientError)
    executed = Executed.NO if status_code < 500 or status_code == 501 else Executed.UNKNOWN
    return kind(status_code, message, request_id, error_code, body, headers, executed=executed)
