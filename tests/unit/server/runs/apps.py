"""Applications on ports of their own, and what their streams say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from tests.gateway.serving import LOOPS, on_port, plain_client
from tests.unit.server.serving import PATIENCE, Served


@contextmanager
def running(app: Any) -> Generator[Served]:
    """A server for this application, until the end of the block."""
    with on_port(app, LOOPS["uvloop"]) as port, plain_client() as http:
        yield Served(port, http)


def asked(text: str = "hi", **more: Any) -> dict[str, Any]:
    """A request of the Agent API."""
    return {"input": [{"role": "user", "content": [{"type": "text", "text": text}]}], **more}


class Sent(NamedTuple):
    """An event of a stream, and the number with which it was sent."""

    number: int | None
    event: dict[str, Any]


def events(lines: Iterator[str]) -> Iterator[Sent]:
    """The events of a stream, as they come."""
    number: int | None = None
    for line in lines:
        if line.startswith("id: "):
            number = int(line.removeprefix("id: "))
        elif line.startswith("data: "):
            yield Sent(number, json.loads(line.removeprefix("data: ")))
            number = None


@contextmanager
def streaming(
    served: Served, path: str, body: Any = None, **headers: str
) -> Generator[tuple[httpx.Response, Iterator[Sent]], None, None]:
    """A stream that is read as far as the block wants, a POST where there is a body."""
    method = "GET" if body is None else "POST"
    url = f"{served.root}{path}"
    with served.http.stream(method, url, json=body, headers=headers, timeout=PATIENCE) as answer:
        yield answer, events(answer.iter_lines())


def stream_of(served: Served, path: str, body: Any = None, **headers: str) -> list[Sent]:
    """A whole stream."""
    with streaming(served, path, body, **headers) as (answer, sent):
        assert answer.status_code == 200, answer.read()
        return list(sent)


def texts(sent: list[Sent]) -> str:
    """What was said in deltas."""
    return "".join(each.event["text"] for each in sent if each.event.get("delta") is True)


def until(condition: Callable[[], Any]) -> Any:
    """What a condition comes to, when it comes to something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found
