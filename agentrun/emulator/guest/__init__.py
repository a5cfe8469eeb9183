"""The server inside a sandbox: contexts that execute code, files and processes, over HTTP on an inherited unix socket.

It imports the standard library, starlette, uvicorn and python-multipart only, and nothing else of this package, so that
the folder can be copied into any image. `python -m agentrun.emulator.guest` serves descriptor 3.
"""

from __future__ import annotations
