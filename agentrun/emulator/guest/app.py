"""The guest's HTTP interface: which route does what."""

from __future__ import annotations

import contextlib
import datetime
import time
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from agentrun.emulator.guest import fields, files, processes
from agentrun.emulator.guest.children import watch_without_threads
from agentrun.emulator.guest.contexts import Contexts
from agentrun.emulator.guest.errors import BadRequest, Exhausted, GuestError
from agentrun.emulator.guest.paths import home, resolve
from agentrun.emulator.guest.uploads import receive

SERVICE = "code-interpreter"
VERSION = "1.0"
DEFAULT_TIMEOUT = 30.0
MAX_TIMEOUT = 24 * 3600.0


class Guest:
    """The endpoints, and the state they share."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.contexts = Contexts(home())

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        """Get ready before serving, end everything after it."""
        watch_without_threads()
        await self.contexts.open()
        yield
        self.contexts.close()

    async def health(self, _request: Request) -> Response:
        now = datetime.datetime.now(datetime.timezone.utc)
        facts: dict[str, Any] = {"status": "ok", "service": SERVICE, "version": VERSION}
        return JSONResponse({**facts, "timestamp": now.isoformat(), "uptime": time.monotonic() - self.started})

    async def create_context(self, request: Request) -> Response:
        body = await fields.body(request, ("language", "cwd"))
        cwd = body.optional("cwd", str, "")
        folder = resolve(cwd) if cwd else None
        context = await self.contexts.create(body.optional("language", str, "python"), folder)
        return JSONResponse(context.describe())

    async def list_contexts(self, _request: Request) -> Response:
        return JSONResponse([context.describe() for context in self.contexts.all()])

    async def get_context(self, request: Request) -> Response:
        return JSONResponse(self.contexts.get(request.path_params["context_id"]).describe())

    async def delete_context(self, request: Request) -> Response:
        self.contexts.delete(request.path_params["context_id"])
        return Response(status_code=204)

    async def execute(self, request: Request) -> Response:
        body = await fields.body(request, ("code", "timeout", "language", "contextId"))
        code, timeout = body.required("code", str), _timeout(body)
        context_id, language = body.optional("contextId", str, ""), body.optional("language", str, "")
        if context_id:
            context = self.contexts.get(context_id)
            context.check_language(language)
            results = await context.execute(code, timeout)
        else:
            results = await self.contexts.execute_once(language or "python", code, timeout)
        return JSONResponse({"results": results, "contextId": context_id or None})

    async def read_file(self, request: Request) -> Response:
        path = _path_query(request)
        return JSONResponse(await run_in_threadpool(files.read, path))

    async def write_file(self, request: Request) -> Response:
        body = await fields.body(request, ("path", "content", "mode", "encoding", "createDir"))
        written = await run_in_threadpool(
            files.write,
            resolve(body.required("path", str)),
            body.required("content", str),
            mode=body.optional("mode", str, files.DEFAULT_FILE_MODE),
            encoding=body.optional("encoding", str, "utf-8"),
            create_folder=body.optional("createDir", bool, True),
        )
        return JSONResponse(written)

    async def list_folder(self, request: Request) -> Response:
        query = fields.query(request, ("path", "depth"))
        path = resolve(query.optional("path", str, str(home())))
        return JSONResponse(await run_in_threadpool(files.listing, path, _depth(query.optional("depth", str, "1"))))

    async def stat(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(files.entry, _path_query(request)))

    async def make_folder(self, request: Request) -> Response:
        body = await fields.body(request, ("path", "parents", "mode"))
        path, parents = resolve(body.required("path", str)), body.optional("parents", bool, True)
        mode = body.optional("mode", str, files.DEFAULT_FOLDER_MODE)
        await run_in_threadpool(files.make_folder, path, parents=parents, mode=mode)
        return JSONResponse({"path": str(path), "message": "the folder exists"})

    async def move(self, request: Request) -> Response:
        body = await fields.body(request, ("source", "destination"))
        source, destination = resolve(body.required("source", str)), resolve(body.required("destination", str))
        await run_in_threadpool(files.move, source, destination)
        return JSONResponse({"source": str(source), "destination": str(destination), "message": "moved"})

    async def remove(self, request: Request) -> Response:
        body = await fields.body(request, ("path",))
        path = resolve(body.required("path", str))
        await run_in_threadpool(files.remove, path)
        return JSONResponse({"path": str(path), "message": "removed"})

    async def upload(self, request: Request) -> Response:
        return JSONResponse(await receive(request))

    async def download(self, request: Request) -> Response:
        path = _path_query(request)
        await run_in_threadpool(files.check_file, path)
        return FileResponse(path, media_type="application/octet-stream", filename=path.name)

    async def run_command(self, request: Request) -> Response:
        body = await fields.body(request, ("command", "cwd", "timeout"))
        cwd = resolve(body.optional("cwd", str, str(home())))
        return JSONResponse(await processes.run_command(body.required("command", str), cwd, _timeout(body)))

    async def list_processes(self, _request: Request) -> Response:
        # Not in a thread: it has to work when a fork bomb leaves room for none.
        return JSONResponse(processes.list_all())

    async def get_process(self, request: Request) -> Response:
        return JSONResponse(processes.get(_pid(request)))

    async def kill_process(self, request: Request) -> Response:
        return JSONResponse(await processes.kill(_pid(request)))

    def routes(self) -> list[Route]:
        """The table of the interface."""
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/contexts", self.create_context, methods=["POST"]),
            Route("/contexts", self.list_contexts, methods=["GET"]),
            Route("/contexts/execute", self.execute, methods=["POST"]),
            Route("/contexts/{context_id}", self.get_context, methods=["GET"]),
            Route("/contexts/{context_id}", self.delete_context, methods=["DELETE"]),
            Route("/files", self.read_file, methods=["GET"]),
            Route("/files", self.write_file, methods=["POST"]),
            Route("/filesystem", self.list_folder, methods=["GET"]),
            Route("/filesystem/stat", self.stat, methods=["GET"]),
            Route("/filesystem/mkdir", self.make_folder, methods=["POST"]),
            Route("/filesystem/move", self.move, methods=["POST"]),
            Route("/filesystem/remove", self.remove, methods=["POST"]),
            Route("/filesystem/upload", self.upload, methods=["POST"]),
            Route("/filesystem/download", self.download, methods=["GET"]),
            Route("/processes/cmd", self.run_command, methods=["POST"]),
            Route("/processes", self.list_processes, methods=["GET"]),
            Route("/processes/{pid}", self.get_process, methods=["GET"]),
            Route("/processes/{pid}", self.kill_process, methods=["DELETE"]),
        ]


def build_app() -> Starlette:
    """The guest as an ASGI app."""
    guest = Guest()
    handlers: Any = {
        GuestError: on_guest_error,
        BlockingIOError: on_exhaustion,
        HTTPException: on_http_error,
        Exception: on_failure,
    }
    return Starlette(routes=guest.routes(), exception_handlers=handlers, lifespan=guest.lifespan)


def _timeout(body: fields.Fields) -> float:
    seconds = body.optional("timeout", float, DEFAULT_TIMEOUT)
    if not 0 < seconds <= MAX_TIMEOUT:
        raise BadRequest(f"the timeout must be above 0 and at most {MAX_TIMEOUT:g} seconds, not {seconds:g}")
    return seconds


def _path_query(request: Request) -> Path:
    return resolve(fields.query(request, ("path",)).required("path", str))


def _depth(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise BadRequest(f"depth must be a whole number from 1, not {text!r}")
    return int(text)


def _pid(request: Request) -> int:
    text = request.path_params["pid"]
    if not text.isdecimal():
        raise BadRequest(f"a process id is a number, not {text!r}")
    return int(text)


async def on_guest_error(_request: Request, error: GuestError) -> Response:
    return _refusal(error.status, error.code, str(error))


async def on_exhaustion(_request: Request, error: BlockingIOError) -> Response:
    """What the kernel answers when no process can be started; files and sockets never get here unexplained."""
    text = (
        f"the sandbox has as many processes as it may have ({error.strerror}): end some with DELETE /processes/{{pid}}"
    )
    return _refusal(Exhausted.status, Exhausted.code, text)


async def on_http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:
        return _refusal(404, "ERR_NOT_FOUND", f"there is no route {request.method} {request.url.path}")
    return _refusal(error.status_code, "ERR_REQUEST", f"{request.method} {request.url.path}: {error.detail}")


async def on_failure(_request: Request, error: Exception) -> Response:
    return _refusal(500, "ERR_INTERNAL", f"the sandbox failed: {type(error).__name__}: {error}")


def _refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message, "requestId": uuid.uuid4().hex}, status_code=status)
