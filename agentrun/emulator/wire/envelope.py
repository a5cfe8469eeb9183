"""How the service answers: the envelope of a success and the body of an error."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any


class ServiceError(Exception):
    """A refusal, as the caller will read it; `details` are fields of its body, `headers` those of the answer."""

    headers: Mapping[str, str] = {}

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details


def invalid(message: str) -> ServiceError:
    """The request is wrong (400)."""
    return ServiceError(400, "ERR_VALIDATION_FAILED", message)


def not_found(kind: str, label: str) -> ServiceError:
    """The resource is not there (404); clients tell by the words "does not exist"."""
    return ServiceError(404, "ERR_NOT_FOUND", f"{kind} {label} does not exist")


def already_exists(kind: str, label: str) -> ServiceError:
    """The name is taken (409); clients tell by the words "already exists"."""
    return ServiceError(409, "ERR_ALREADY_EXISTS", f"{kind} {label} already exists")


def conflict(message: str) -> ServiceError:
    """The resource is in a state that does not allow this (409)."""
    return ServiceError(409, "ERR_CONFLICT", message)


def unauthorized(code: str, message: str) -> ServiceError:
    """Who calls could not be proven (401)."""
    return ServiceError(401, code, message)


def forbidden(code: str, message: str) -> ServiceError:
    """Who calls may not do this (403)."""
    return ServiceError(403, code, message)


def unsupported(message: str) -> ServiceError:
    """The emulator does not do this (501), and says why."""
    return ServiceError(501, "ERR_NOT_IMPLEMENTED", message)


def new_request_id() -> str:
    """An id for one request, in the shape of the service's."""
    text = secrets.token_hex(16).upper()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def dump(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def success(data: Mapping[str, Any], request_id: str) -> bytes:
    """The body of a success."""
    return dump({"code": "SUCCESS", "requestId": request_id, "data": data})


def failure(error: ServiceError, request_id: str) -> bytes:
    """The body of an error."""
    return dump({"code": error.code, "requestId": request_id, "message": error.message, **error.details})
