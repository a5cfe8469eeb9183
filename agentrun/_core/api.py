"""How the two planes are called: signing, envelope, errors. The resource folders only name operations.

The **control plane** manages resources: ACS3 signature over the body, every answer in an envelope
`{"code": "SUCCESS", "requestId": ..., "data": ...}`. The **data plane** talks to what runs: AGENTRUN4 signature, and
whatever body the running thing gives, except for sandboxes themselves, which come in the same envelope.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, ClassVar, NamedTuple, cast
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

from pydantic import BaseModel

from agentrun._core import signing
from agentrun._core.credentials import Credentials
from agentrun._core.model import Model
from agentrun._core.session import ByteStream, Content, Reply, Request, Signer, Timeouts
from agentrun.config import Config
from agentrun.errors import HTTPError, InvalidInputError, InvalidResponseError, from_response

API_VERSION = "2025-09-10"
USER_AGENT = f"agentrun/0.1.0 ({platform.system()}) Python/{platform.python_version()}"
LONGEST_MESSAGE = 1000
_REQUEST_ID_HEADERS = ("x-acs-request-id", "x-agentrun-request-id", "x-request-id", "x-fc-request-id")


class Operation(NamedTuple):
    """An operation of a signed API: its action, method and path with `{placeholders}`, and the API's version."""

    action: str
    method: str
    path: str
    version: str = API_VERSION


def segment(value: str) -> str:
    """A name as one segment of a path; raises InvalidInputError when it cannot be one."""
    if not value or value in (".", ".."):
        raise InvalidInputError(f"{value!r} is not a name or an id", hint="Give the name or id of an existing resource")
    return quote(value, safe="~")


def query_pairs(query: Mapping[str, Any] | Model | None) -> list[tuple[str, str]]:
    """The pairs of a query, sorted, without what is None; booleans as `true` and `false`."""
    values = query.to_wire() if isinstance(query, Model) else query or {}
    return sorted((key, _text(value)) for key, value in values.items() if value is not None)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, cast("Sequence[Any]", value))) if isinstance(value, (list, tuple)) else str(value)


def _json(body: Any) -> bytes:
    value = body.to_wire() if isinstance(body, Model) else body
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_plain).encode()


def _plain(value: Any) -> Any:
    # Messages of other libraries, such as an answer of a model that is sent back, are pydantic models too.
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    raise InvalidInputError(f"{type(value).__name__} {value!r:.100} cannot be sent as JSON")


def _url(base: str, path: str, pairs: list[tuple[str, str]]) -> str:
    return f"{base}{path}?{urlencode(pairs, quote_via=quote, safe='~')}" if pairs else f"{base}{path}"


def _lower(headers: Mapping[str, str] | None) -> dict[str, str]:
    # Two spellings of one header would both be sent.
    return {name.lower(): value for name, value in (headers or {}).items()}


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def timeouts(config: Config) -> Timeouts:
    """How long a call may take."""
    return Timeouts(config.get_timeout(), config.get_connect_timeout(), config.get_read_timeout())


def request_id(headers: Mapping[str, str], body: Any) -> str | None:
    """The id that the service gave a request, from its answer's body or headers."""
    fields = _fields(body)
    found = fields.get("requestId") or fields.get("RequestId")
    return found or next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None)


def _fields(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        return {}
    fields = cast("dict[str, Any]", body)
    nested = fields.get("error")
    return {**fields, **cast("dict[str, Any]", nested)} if isinstance(nested, dict) else fields


def _message(body: Any) -> str:
    """What an error's body says: a service's message, or text that is not a whole page."""
    fields = _fields(body)
    said = [fields.get(name) for name in ("message", "Message", "error", "detail")]
    if isinstance(body, str) and not body.lstrip().startswith("<"):
        said.append(body)
    return next((text[:LONGEST_MESSAGE] for text in said if text and isinstance(text, str)), "")


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> HTTPError:
    """The error that an answer with a status of 400 or more means."""
    body = parsed(content)
    fields = _fields(body)
    code = fields.get("code") or fields.get("Code")
    return from_response(
        status,
        _message(body) or f"the service answered with status {status}",
        error_code=None if code is None else str(code),
        request_id=request_id(headers, body),
        body=body,
        headers=dict(headers),
    )


def parsed(content: bytes) -> Any:
    """A JSON body as values, anything else as text, nothing as an empty dict."""
    if not content:
        return {}
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def object_of(reply: Reply) -> dict[str, Any]:
    """The JSON object that an answer is; raises the error that the answer means, or InvalidResponseError."""
    if reply.status >= 400:
        raise error_of(reply.status, reply.headers, reply.content)
    body = parsed(reply.content)
    if not isinstance(body, dict):
        raise InvalidResponseError(
            f"the service's answer is not JSON: {reply.content[:200]!r}", hint="Check the endpoint"
        )
    return cast("dict[str, Any]", body)


def enveloped(reply: Reply) -> dict[str, Any]:
    """The data of an envelope; raises the error that the answer means, or InvalidResponseError."""
    envelope = object_of(reply)
    code = envelope.get("code")
    if code != "SUCCESS":
        raise from_response(
            500,
            _message(envelope) or f"the service answered with status {reply.status} and without success",
            error_code=None if code is None else str(code),
            request_id=request_id(reply.headers, envelope),
            body=envelope,
            headers=dict(reply.headers),
        )
    data = envelope.get("data")
    if not isinstance(data, dict):
        raise InvalidResponseError("the service answered success without data")
    return cast("dict[str, Any]", data)


def control_signer(operation: Operation, credentials: Credentials) -> Signer:
    """What adds the headers of the control plane, with a new nonce at each call."""

    def sign(request: Request) -> dict[str, str]:
        url = urlsplit(request.url)
        content = request.content if isinstance(request.content, bytes) else b""
        headers = {
            "host": _host(request.url),
            "accept": "application/json",
            "user-agent": USER_AGENT,
            "x-acs-action": operation.action,
            "x-acs-version": operation.version,
            "x-acs-date": signing.timestamp(datetime.now(timezone.utc)),
            "x-acs-signature-nonce": uuid4().hex,
            "x-acs-content-sha256": hashlib.sha256(content).hexdigest() if content else signing.EMPTY_SHA256,
        }
        if content:
            headers["content-type"] = request.headers.get("content-type", "application/json; charset=utf-8")
        if credentials.security_token:
            headers["x-acs-accesskey-id"] = credentials.access_key_id
            headers["x-acs-security-token"] = credentials.security_token
        pairs = signing.decoded_query(url.query)
        signature = signing.sign_control(
            credentials.access_key_secret,
            request.method,
            url.path,
            pairs,
            headers,
            headers,
            headers["x-acs-content-sha256"],
        )
        headers["authorization"] = signing.control_authorization(credentials.access_key_id, headers, signature)
        return headers

    return sign


def data_headers(method: str, url: str, credentials: Credentials, region: str) -> dict[str, str]:
    """The headers that sign one data-plane request; good for about fifteen minutes."""
    parts = urlsplit(url)
    now = datetime.now(timezone.utc)
    date = now.strftime("%Y%m%d")
    headers = {
        "host": _host(url),
        "x-acs-date": signing.timestamp(now),
        "x-acs-content-sha256": signing.UNSIGNED_PAYLOAD,
    }
    if credentials.security_token:
        headers["x-acs-security-token"] = credentials.security_token
    signature = signing.sign_data(
        credentials.access_key_secret, date, region, method, parts.path, parts.query, headers, headers
    )
    scope = signing.data_scope(date, region)
    headers[signing.DATA_HEADER.lower()] = signing.data_authorization(
        credentials.access_key_id, scope, headers, signature
    )
    return headers


class API:
    """Something that is called with a Config: its own, overlaid by the one given with a call."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config

    def _config(self, config: Config | None) -> Config:
        return Config.with_configs(self.config, config)


class CloudAPI(API):
    """The cloud's other services, which take the signature of the control plane and answer without its envelope."""

    async def _ask(
        self,
        operation: Operation,
        base: str,
        *names: str,
        query: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> Any:
        """The body of the answer, whose errors are raised; `names` fill the path's placeholders in order."""
        settings = self._config(config)
        request = Request(
            operation.method,
            _url(base, _filled(operation.path, names), query_pairs(query)),
            {"content-type": "application/x-www-form-urlencoded"} if form else {},
            urlencode(form, quote_via=quote, safe="~").encode() if form else None,
            timeouts(settings),
            settings.get_max_retries(),
        )
        reply = await settings.session.send(request, control_signer(operation, settings.get_credentials()))
        if reply.status >= 400:
            raise error_of(reply.status, reply.headers, reply.content)
        return parsed(reply.content)


class ControlAPI(API):
    """The control plane: one method per operation in the subclasses, all of them through `_call`."""

    kind: ClassVar[str] = "resource"

    def _endpoint(self, settings: Config) -> str:
        """The base URL; other services than AgentRun's own have one of theirs."""
        return settings.get_control_endpoint()

    def _data(self, reply: Reply) -> dict[str, Any]:
        """The data of an answer; other services have other envelopes."""
        return enveloped(reply)

    async def _call(
        self,
        operation: Operation,
        *names: str,
        query: Mapping[str, Any] | Model | None = None,
        body: Mapping[str, Any] | Model | None = None,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
        label: str | None = None,
        kind: str | None = None,
    ) -> dict[str, Any]:
        """The data of the answer; `names` fill the path's placeholders in order.

        An answer about the resource's existence becomes ResourceNotExistError or ResourceAlreadyExistError, which
        names it by `kind`, and `label` or else the last of `names`.
        """
        settings = self._config(config)
        request = Request(
            operation.method,
            _url(self._endpoint(settings), _filled(operation.path, names), query_pairs(query)),
            _lower(headers),
            None if body is None else _json(body),
            timeouts(settings),
            settings.get_max_retries(),
        )
        signer = control_signer(operation, settings.get_credentials())
        try:
            return self._data(await settings.session.send(request, signer))
        except HTTPError as error:
            raise error.to_resource_error(kind or self.kind, label or (names[-1] if names else "")) from error


def _filled(path: str, names: tuple[str, ...]) -> str:
    parts = iter(names)
    return "/".join(segment(next(parts)) if part.startswith("{") else part for part in path.split("/"))


class DataAPI(API):
    """The data plane below one path, such as `/sandboxes/{id}`."""

    def __init__(self, *namespace: str, config: Config | None = None) -> None:
        super().__init__(config)
        self.namespace = "".join(f"/{segment(part)}" for part in namespace)

    def url(self, path: str = "", query: Mapping[str, Any] | None = None, config: Config | None = None) -> str:
        """The complete URL of a path below the namespace."""
        return _url(self._base(config), path, query_pairs(query))

    def _base(self, config: Config | None) -> str:
        return f"{self._config(config).get_signed_data_endpoint()}{self.namespace}"

    def headers(self, method: str, url: str, config: Config | None = None) -> dict[str, str]:
        """Everything that authenticates one request: the signature when there is a key, and the Config's headers."""
        settings = self._config(config)
        found = settings.find_credentials()
        signed = data_headers(method, url, found, settings.get_region_id()) if found else {}
        return {**signed, **_lower(settings.get_headers())}

    def _signer(self, headers: Mapping[str, str] | None, config: Config | None) -> Signer:
        """What adds the headers to a request: those of the call win over the Config's, and these over the signature."""
        given = _lower(headers)
        return lambda request: {**self.headers(request.method, request.url, config), **given}

    def signer(self, config: Config | None = None) -> Signer:
        """What adds these headers to a request that something else sends."""
        return self._signer(None, config)

    def _request(
        self, method: str, url: str, content: Content, settings: Config, timeout: float | None = None
    ) -> Request:
        headers = {"user-agent": USER_AGENT}
        if isinstance(content, bytes):
            headers["content-type"] = "application/json"
        times = timeouts(settings)
        if timeout is not None:
            times = Timeouts(max(times.total, timeout), times.connect, timeout)
        return Request(method, url, headers, content, times, settings.get_max_retries())

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
        timeout: float | None = None,
    ) -> Reply:
        settings = self._config(config)
        url = self.url(path, query, config)
        request = self._request(method, url, None if body is None else _json(body), settings, timeout)
        return await settings.session.send(request, self._signer(headers, config))

    async def _call(self, method: str, path: str = "", **options: Any) -> Any:
        """The body of the answer, whose errors are raised."""
        reply = await self._send(method, path, **options)
        if reply.status >= 400:
            raise error_of(reply.status, reply.headers, reply.content)
        return parsed(reply.content)

    async def _call_enveloped(self, method: str, path: str = "", **options: Any) -> dict[str, Any]:
        """The data of the answer's envelope, whose errors are raised."""
        return enveloped(await self._send(method, path, **options))

    async def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: Content = None,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
        timeout: float | None = None,
    ) -> ByteStream:
        """The body of the answer as it arrives; errors are raised. What is sent is `body` as JSON, or `content`."""
        settings = self._config(config)
        sent = content if body is None else _json(body)
        request = self._request(method, self.url(path, query, config), sent, settings, timeout)
        stream = await settings.session.open(request, self._signer(headers, config))
        if stream.status >= 400:
            raise error_of(stream.status, stream.headers, await stream.read())
        return stream
