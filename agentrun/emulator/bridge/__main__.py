"""Serve an MCP server on the inherited socket: `python -m agentrun.emulator.bridge`, its plan in the environment.

It is tried once before anybody may call: a server that does not come up ends the bridge, and its log says why.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from functools import partial
from typing import Any, cast

import anyio
import uvicorn

from agentrun.emulator.bridge.app import BridgeApp
from agentrun.emulator.bridge.messages import Message, dump, is_object, read
from agentrun.emulator.bridge.plan import PLAN, Rules
from agentrun.emulator.bridge.process import ProcessPeer
from agentrun.emulator.bridge.session import Start
from agentrun.emulator.bridge.sessions import Sessions

_INHERITED_FD = 3
# Below the time that a service has to come up.
_TRIAL_SECONDS = 25.0
# Longer than the gateway keeps an idle connection, so that it is never we who close one that is about to be used.
_KEEP_ALIVE_SECONDS = 120
_TRIAL = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "agentrun-emulator", "version": "1"},
    },
}


def main() -> None:
    """Serve until SIGTERM."""
    plan = json.loads(os.environ.pop(PLAN))
    os.set_inheritable(_INHERITED_FD, False)
    sys.exit(asyncio.run(_run(plan)))


async def _run(plan: dict[str, Any]) -> int:
    start: Start = partial(ProcessPeer.start, plan["command"], dict(os.environ))
    if problem := await _tried(start, plan["command"]):
        print(problem, file=sys.stderr, flush=True)
        return 1
    sessions = Sessions(start, Rules(**plan["rules"]))
    await _serve(BridgeApp(sessions))
    return 0


async def _tried(start: Start, command: list[str]) -> str | None:
    """Why the server does not work, None when it does."""
    answer: asyncio.Future[Message | str] = asyncio.get_running_loop().create_future()

    def settle(outcome: Message | str) -> None:
        if not answer.done() and (isinstance(outcome, str) or outcome.is_response):
            answer.set_result(outcome)

    try:
        peer = await start(settle, settle)
    except OSError as error:
        return f"cannot run {command[0]!r}: {error.strerror}"
    try:
        await peer.send(read(dump(_TRIAL)))
        with anyio.fail_after(_TRIAL_SECONDS):
            outcome = await answer
    except TimeoutError:
        return f"the server did not answer initialize within {_TRIAL_SECONDS:g} s"
    finally:
        await peer.close()
    if isinstance(outcome, str):
        return f"{outcome} before it answered initialize"
    refusal = outcome.fields.get("error")
    return f"the server refuses to initialize: {refusal.get('message')}" if is_object(refusal) else None


async def _serve(app: BridgeApp) -> None:
    config = uvicorn.Config(
        cast("Any", app),
        lifespan="off",
        interface="asgi3",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=0,
    )
    # Whoever started us ends the servers with us.
    await uvicorn.Server(config).serve(sockets=[socket.socket(fileno=_INHERITED_FD)])


if __name__ == "__main__":
    main()
