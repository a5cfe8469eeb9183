"""Requests side by side: what the official client sent for a call, and what ours sends for the same."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import parse_qsl, urlsplit

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
_SIGNED = re.compile(r"SignedHeaders=([^,]+)")


@dataclass(frozen=True)
class Line:
    """One request, without what differs from one minute to the next."""

    action: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: Any
    signed: tuple[str, ...]

    @property
    def target(self) -> str:
        """What is asked of whom."""
        return f"{self.method} {self.path}"


def line(method: str, path: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str], content: str) -> Line:
    """A request as it was on the wire; header names are in lower case."""
    authorization = headers.get("agentrun-authorization") or headers.get("authorization", "")
    signed = _SIGNED.search(authorization)
    return Line(
        headers.get("x-acs-action", ""),
        method,
        path,
        tuple(sorted(query)),
        _body(content, headers.get("content-type", "")),
        tuple(sorted(signed.group(1).split(";"))) if signed else (),
    )


def _pairs(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def _body(content: str, kind: str) -> Any:
    """JSON as values; of a form, whose boundary is another each time, the lines between the boundaries."""
    if kind.startswith("multipart/"):
        boundary = kind.partition("boundary=")[2]
        return sorted(part.strip() for part in content.split(f"--{boundary}") if part.strip(" -\r\n"))
    return json.loads(content) if "json" in kind and content else content or None


@lru_cache(maxsize=1)
def official() -> Mapping[str, tuple[Line, ...]]:
    """What the official client sent, by the labels of its calls."""
    found: dict[str, tuple[Line, ...]] = {}
    for name in ("control", "data"):
        for text in (CAPTURES / f"official-client-{name}.jsonl").read_text(encoding="utf-8").splitlines():
            entry: dict[str, Any] = json.loads(text)
            headers = {key.lower(): value for key, value in entry["headers"]}
            target: str = entry["path"]
            recorded = line(entry["method"], urlsplit(target).path, _pairs(target), headers, entry["body"] or "")
            found[entry["label"]] = (*found.get(entry["label"], ()), recorded)
    return found


def differences(theirs: Iterable[Line], ours: Iterable[Line]) -> list[str]:
    """Where two streams differ, as short sentences; requests that only one side sends are passed over once named."""
    found: list[str] = []
    left, right = list(theirs), list(ours)
    while left and right:
        if left[0].target == right[0].target:
            found += _inside(left.pop(0), right.pop(0))
        elif right[0].target in [entry.target for entry in left]:
            found.append(f"only theirs: {left.pop(0).target}")
        else:
            found.append(f"only ours: {right.pop(0).target}")
    found += [f"only theirs: {entry.target}" for entry in left]
    return found + [f"only ours: {entry.target}" for entry in right]


def _inside(theirs: Line, ours: Line) -> list[str]:
    return [
        *_between("query", dict(theirs.query), dict(ours.query)),
        *_between("body", theirs.body, ours.body),
        *(f"only theirs signed: {name}" for name in theirs.signed if name not in ours.signed),
        *(f"only ours signed: {name}" for name in ours.signed if name not in theirs.signed),
        *([] if theirs.action == ours.action else [f"action: {theirs.action} {ours.action}"]),
    ]


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _between(path: str, theirs: Any, ours: Any) -> list[str]:
    if is_object(theirs) and is_object(ours):
        return [
            text
            for name in sorted({*theirs, *ours})
            for text in _between(f"{path}.{name}", theirs.get(name, "absent"), ours.get(name, "absent"))
        ]
    if is_list(theirs) and is_list(ours) and len(theirs) == len(ours):
        pairs = zip(theirs, ours, strict=True)
        return [text for index, pair in enumerate(pairs) for text in _between(f"{path}[{index}]", *pair)]
    return [] if theirs == ours else [f"{path}: {_brief(theirs)} {_brief(ours)}"]


def _brief(value: Any) -> str:
    return "absent" if value == "absent" else json.dumps(value)


@contextmanager
def recorder() -> Generator[tuple[str, list[Line]], None, None]:
    """A server that answers every request with success; gives its URL and the requests it got."""
    lines: list[Line] = []

    class Recorder(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def record(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            lines.append(line(self.command, urlsplit(self.path).path, _pairs(self.path), headers, content))
            self.send_response(200)
            answer = b'{"code":"SUCCESS","requestId":"R","data":{}}'
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = record

        def log_message(self, format: str, *args: Any) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", lines
        server.shutdown()
        thread.join()
