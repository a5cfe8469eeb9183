"""Heads of requests and answers inside a connection that is looked into, read as strictly as those to the proxy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentrun.emulator.backends.injection.hosts import Origin
from agentrun.emulator.backends.proxy_request import (
    BAD_GATEWAY,
    BAD_REQUEST,
    FORBIDDEN,
    Header,
    Refusal,
    body_size,
    read_header,
    request_line,
)

CLOSE, UPGRADED = "close", 101
# Answers that end with their head.
_BODILESS = (204, 304)


@dataclass(frozen=True)
class Head:
    """What a request and an answer have in common: headers, and the size of what follows; None is in chunks."""

    headers: Sequence[Header]
    body: int | None

    def value(self, name: str) -> str:
        """All values of a header, joined; empty when there is none."""
        return ",".join(value for found, value in self.headers if found.lower() == name)

    def has(self, name: str, token: str) -> bool:
        """Whether a header lists a token."""
        return token in {part.strip().lower() for part in self.value(name).split(",")}


@dataclass(frozen=True)
class RequestHead(Head):
    """A request in origin form."""

    method: str
    target: str
    version: str

    @property
    def waits(self) -> bool:
        """Whether its sender wants to be told to go on before it sends the body."""
        return self.version == "HTTP/1.1" and self.has("expect", "100-continue")

    @property
    def persists(self) -> bool:
        """Whether the connection shall live on."""
        return self.version == "HTTP/1.1" and not self.has("connection", CLOSE)


@dataclass(frozen=True)
class AnswerHead(Head):
    """An answer; `ends_with_connection` when nothing else says where its body ends."""

    version: str
    status: int
    line: str
    ends_with_connection: bool = False

    @property
    def is_interim(self) -> bool:
        """Whether another answer follows."""
        return 100 <= self.status < 200 and self.status != UPGRADED

    @property
    def persists(self) -> bool:
        """Whether the connection lives on after it."""
        if self.ends_with_connection or self.has("connection", CLOSE):
            return False
        return self.version == "HTTP/1.1" or self.has("connection", "keep-alive")

    @property
    def is_coded(self) -> bool:
        """Whether its body is compressed."""
        return self.value("content-encoding").strip().lower() not in ("", "identity")


def read_request(data: bytes, origin: Origin) -> RequestHead:
    """A request to this origin and no other; raises Refusal."""
    try:
        line, headers = _split(data)
        method, target, version = request_line(line)
        if not (target.startswith("/") or (method, target) == ("OPTIONS", "*")):
            raise ValueError("inside a tunnel the first line has a path, not a whole address")
        head = RequestHead(headers, body_size(headers), method, target, version)
    except ValueError as error:
        raise Refusal(BAD_REQUEST, f"not a request: {error}") from None
    _check_host(head, origin)
    return head


def _check_host(head: RequestHead, origin: Origin) -> None:
    """A server may go by this header; so it must name who was connected to, or the secret goes to somebody else."""
    named = [value.lower() for name, value in head.headers if name.lower() == "host"]
    full = f"{origin.authority.removesuffix(f':{origin.port}')}:{origin.port}"
    if len(named) != 1 or named[0] not in (origin.authority, full):
        said = ", ".join(named) or "no host"
        raise Refusal(
            FORBIDDEN, f"a connection to {origin} must name it in one Host header, and this says {said[:200]}"
        )


def read_answer(data: bytes, method: str) -> AnswerHead:
    """An answer to a request of this method; raises Refusal."""
    try:
        line, headers = _split(data)
        version, _, rest = line.partition(" ")
        code = rest[:3]
        if (
            version not in ("HTTP/1.0", "HTTP/1.1")
            or not (code.isascii() and code.isdigit())
            or rest[3:4] not in ("", " ")
        ):
            raise ValueError("its first line is malformed")
        status = int(code)
        empty = method == "HEAD" or status in _BODILESS or 100 <= status < 200
        size = 0 if empty else body_size(headers)
    except ValueError as error:
        raise Refusal(BAD_GATEWAY, f"the answer of the server cannot be read: {error}") from None
    framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers)
    return AnswerHead(headers, size, version, status, line, not empty and not framed)


def write_head(line: str, headers: Sequence[Header]) -> bytes:
    """A head as it travels."""
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in headers), "", ""]).encode("latin-1")


def without(headers: Sequence[Header], *names: str) -> list[Header]:
    """Headers without some, named in lower case."""
    return [(name, value) for name, value in headers if name.lower() not in names]


def with_length(headers: Sequence[Header], size: int) -> list[Header]:
    """Headers that tell this length where they told another one."""
    return [*without(headers, "content-length"), ("Content-Length", str(size))]


def _split(data: bytes) -> tuple[str, list[Header]]:
    line, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    return line, [read_header(line) for line in lines]
