"""An agent that computes: it asks a model, runs the Python that the model writes in a sandbox, and streams the answer.

It serves the OpenAI chat protocol, so anything that can talk to a model can talk to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from agentrun import CodeInterpreterSandbox, ModelService, Sandbox

RUN_PYTHON = {
    "type": "function",
    "function": {
        "name": "run_python",
        "description": "Run Python code in a sandbox; answers what it prints.",
        "parameters": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
    },
}


async def run_python(sandbox: CodeInterpreterSandbox, code: str) -> str:
    """What the code prints, or its error."""
    result = await sandbox.context.execute_async(code=code)
    return result.stdout or str(result.error or "")


async def think(messages: list[dict[str, Any]]) -> AsyncIterator[str]:
    """The answer in pieces, after as many runs of code as the model asks for."""
    model = await ModelService.get_by_name_async(os.environ["MODEL_SERVICE"])
    async with await Sandbox.create_async(template_name=os.environ["TEMPLATE"]) as sandbox:
        while True:
            calls: dict[int, dict[str, Any]] = {}
            async for chunk in await model.acompletion(messages, tools=[RUN_PYTHON], stream=True):
                delta = chunk.choices[0].delta
                if delta.content:
                    yield delta.content
                for piece in delta.tool_calls or ():
                    call = calls.setdefault(piece.index, {"id": piece.id, "arguments": ""})
                    if piece.function:
                        call["arguments"] += piece.function.arguments or ""
            if not calls:
                return
            messages.append({"role": "assistant", "tool_calls": [as_message(call) for call in calls.values()]})
            for call in calls.values():
                printed = await run_python(sandbox, json.loads(call["arguments"])["code"])
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": printed})


def as_message(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call as the history holds it."""
    function = {"name": "run_python", "arguments": call["arguments"]}
    return {"id": call["id"], "type": "function", "function": function}


def as_chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    """One server-sent event of the chat protocol."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    event = {"id": "chatcmpl-analyst", "object": "chat.completion.chunk", "created": 0, "model": "analyst"}
    return f"data: {json.dumps({**event, 'choices': [choice]})}\n\n"


async def events(messages: list[dict[str, Any]]) -> AsyncIterator[str]:
    """The answer as a stream of the chat protocol."""
    async for text in think(messages):
        yield as_chunk({"content": text})
    yield as_chunk({}, "stop")
    yield "data: [DONE]\n\n"


async def chat(request: Request) -> JSONResponse | StreamingResponse:
    """Answer a chat request, streamed if asked for."""
    body = await request.json()
    if body.get("stream"):
        return StreamingResponse(events(body["messages"]), media_type="text/event-stream")
    text = "".join([piece async for piece in think(body["messages"])])
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    answer = {"id": "chatcmpl-analyst", "object": "chat.completion", "created": 0, "model": "analyst"}
    return JSONResponse({**answer, "choices": [choice]})


async def health(request: Request) -> JSONResponse:
    """Say that the agent is ready."""
    return JSONResponse({"status": "ok"})


app = Starlette(routes=[Route("/openai/v1/chat/completions", chat, methods=["POST"]), Route("/health", health)])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "9000")), log_level="warning")
