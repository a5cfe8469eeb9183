"""Uploads of any size in constant memory: a raw body, or a multipart form whose file goes to disk as it comes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request

from agentrun.emulator.guest.errors import Unavailable
from agentrun.emulator.guest.events import CallerGone
from agentrun.emulator.guest.files import Incoming, prepare_folder
from agentrun.emulator.guest.paths import home, shown
from agentrun.emulator.guest.spool import Spool
from agentrun.emulator.guest.turns import in_thread


async def receive_body(request: Request, path: Path, mode: int | None, *, create_folder: bool) -> dict[str, Any]:
    """Store the raw body at a path; it appears there complete or not at all."""
    prepare_folder(path, create=create_folder)
    with contextlib.closing(Incoming.beside(path)) as incoming:
        spool = Spool(incoming)
        async for data in _stream(request):
            spool.add(data)
            await spool.drain()
        spool.finish()
        await in_thread(lambda: incoming.place(path, mode))
        return {"path": shown(path), "size": incoming.size}


async def receive_form(request: Request) -> dict[str, Any]:
    """Store the form's part `file` at its field `path`; in a folder, or after a /, it gets the file's own name."""
    try:
        from agentrun.emulator.guest import forms  # needs python-multipart, which an image may lack
    except ImportError:
        raise Unavailable("uploads need python-multipart in the sandbox: pip install python-multipart") from None
    boundary = forms.boundary_of(request.headers.get("content-type", ""))
    # /tmp may be memory, and a large upload must not fill that; the path may come after the file.
    with contextlib.closing(Incoming(home())) as incoming:
        form = forms.Form(Spool(incoming))
        parse = form.parser(boundary)
        async for data in _stream(request):
            parse(data)
            await form.spool.drain()
        form.spool.finish()
        path = form.target()
        prepare_folder(path)
        await in_thread(lambda: incoming.place(path, None))
        return {"path": shown(path), "size": incoming.size, "message": "uploaded"}


async def _stream(request: Request) -> AsyncIterator[bytes]:
    try:
        async for data in request.stream():
            yield data
    except ClientDisconnect:
        raise CallerGone from None
