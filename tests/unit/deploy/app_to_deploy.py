"""An application in a file of its own."""

from __future__ import annotations

import os
from typing import Any

from agentrun.server import AgentApp

app = AgentApp(app_name="deployed")


@app.query(framework="text")
async def query(msgs: str, _request: Any) -> str:
    return f"{msgs} in {os.getpid()}, {os.environ.get('COLOUR')}"
