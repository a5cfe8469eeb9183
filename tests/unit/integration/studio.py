"""A local Model Studio that checks every request strictly, and answers in the documented form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.unit.servers import Behaviour, Line, Received, answer

KEY = "sk-canary-7f3a"
Answer = dict[str, Any]


@dataclass
class FakeStudio:
    """`calls` and `tasks` say what is expected: a path, the exact body, and the answer."""

    expected: list[tuple[str, str, Any, Answer | tuple[int, Answer]]] = field(
        default_factory=list[tuple[str, str, Any, "Answer | tuple[int, Answer]"]]
    )
    asynchronous: list[bool] = field(default_factory=list[bool])
    wrong: list[str] = field(default_factory=list[str])

    def expect(self, method: str, path: str, body: Any, then: Answer | tuple[int, Answer]) -> FakeStudio:
        self.expected.append((method, path, body, then))
        return self

    def task(self, path: str, body: Any, *steps: Answer) -> FakeStudio:
        """A task that is begun, then asked for until it is over."""
        pending = {"output": {"task_status": "PENDING", "task_id": "t-1"}, "request_id": "r-1"}
        self.expect("POST", path, body, pending)
        for step in steps:
            self.expect("GET", "/tasks/t-1", None, step)
        return self

    def behave(self) -> Behaviour:
        def serve(line: Line, request: Received) -> bool:
            return self._answered(request)(line, request)

        return serve

    def _answered(self, request: Received) -> Behaviour:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return answer({"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "r-9"}, 401)
        if not self.expected:
            self.wrong.append(f"{request.method} {request.path} was not expected")
            return answer({}, 500)
        method, path, body, then = self.expected.pop(0)
        self.asynchronous.append(request.headers.get("x-dashscope-async") == "enable")
        sent = json.loads(request.body) if request.body else None
        if request.body and request.headers.get("content-type") != "application/json":
            self.wrong.append(f"content-type {request.headers.get('content-type')}")
        fits = body(sent) if callable(body) else sent == body
        if (request.method, request.path) != (method, path) or not fits:
            self.wrong.append(f"{request.method} {request.path} {sent} instead of {method} {path} {body}")
        return answer(then[1], then[0]) if isinstance(then, tuple) else answer(then)

    def done(self) -> bool:
        assert self.wrong == []
        return self.expected == []


def running() -> Answer:
    return {"request_id": "r-2", "output": {"task_id": "t-1", "task_status": "RUNNING"}}


def succeeded(output: Mapping[str, Any], **more: Any) -> Answer:
    return {"request_id": "r-3", "output": {"task_id": "t-1", "task_status": "SUCCEEDED", **output}, **more}


def failed(code: str, message: str) -> Answer:
    return {
        "request_id": "r-3",
        "output": {"task_id": "t-1", "task_status": "FAILED", "code": code, "message": message},
    }
