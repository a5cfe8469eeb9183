"""Files and folders over HTTP."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentrun.emulator.guest import entries, fields, files
from agentrun.emulator.guest.downloads import Download
from agentrun.emulator.guest.errors import TooLarge
from agentrun.emulator.guest.events import EventStream
from agentrun.emulator.guest.patches import unified
from agentrun.emulator.guest.paths import home, resolve, shown
from agentrun.emulator.guest.search import DEFAULT_LIMIT, MAX_LIMIT, search
from agentrun.emulator.guest.turns import all_in_turns, in_thread, in_turns
from agentrun.emulator.guest.uploads import receive_body, receive_form
from agentrun.emulator.guest.watch import watch

# What takes less than about a millisecond is done at once; a thread costs memory and cannot be had under a fork bomb.
AT_ONCE = 256 * 1024
MAX_BATCH = 1000
WRITTEN = ("path", "content", "mode", "encoding", "createDir")
MAX_DEPTH = 1000


async def read_file(request: Request) -> Response:
    path = _path(request)
    return JSONResponse(await _read(path))


async def write_file(request: Request) -> Response:
    return JSONResponse(await _write(await fields.body(request, WRITTEN)))


async def batch(request: Request) -> Response:
    """Several files in one request: what cannot be read is answered beside what can, a failed write ends it."""
    body = await fields.body(request, ("write", "read"))
    writes, reads = body.objects("write", WRITTEN), [resolve(path) for path in body.texts("read")]
    if len(writes) + len(reads) > MAX_BATCH:
        raise TooLarge(f"a batch has at most {MAX_BATCH} files: send several")
    written = [await _write(write) async for write in in_turns(writes)]
    read = [files.read_or_refusal(path) async for path in in_turns(reads)]
    return JSONResponse({"written": written, "read": read})


async def list_folder(request: Request) -> Response:
    query = fields.query(request, ("path", "depth"))
    path, depth = resolve(query.optional("path", str, str(home()))), query.number("depth", 1, most=MAX_DEPTH)
    return JSONResponse({"path": shown(path), "entries": await all_in_turns(entries.entries_of(path, depth))})


async def stat(request: Request) -> Response:
    return JSONResponse(entries.entry(_path(request)))


async def make_folder(request: Request) -> Response:
    body = await fields.body(request, ("path", "parents", "mode"))
    path, parents = resolve(body.required("path", str)), body.optional("parents", bool, True)
    files.make_folder(path, parents=parents, mode=body.optional("mode", str, files.DEFAULT_FOLDER_MODE))
    return JSONResponse({"path": shown(path), "message": "the folder exists"})


async def move(request: Request) -> Response:
    body = await fields.body(request, ("source", "destination"))
    source, destination = resolve(body.required("source", str)), resolve(body.required("destination", str))
    await in_thread(lambda: files.move(source, destination))
    return JSONResponse({"source": shown(source), "destination": shown(destination), "message": "moved"})


async def remove(request: Request) -> Response:
    body = await fields.body(request, ("path",))
    path = resolve(body.required("path", str))
    await in_thread(lambda: files.remove(path))
    return JSONResponse({"path": shown(path), "message": "removed"})


async def change_permissions(request: Request) -> Response:
    body = await fields.body(request, ("path", "mode", "owner", "group", "recursive"))
    path, recursive = resolve(body.required("path", str)), body.optional("recursive", bool, False)
    mode, owner, group = (body.maybe(name, str) for name in ("mode", "owner", "group"))
    # Everything is found before anything is changed, or a folder that closes itself would hide what is in it.
    for target in reversed(await all_in_turns(entries.permission_targets(path, recursive=recursive))):
        entries.change_permissions(target, mode, owner, group)
    return JSONResponse(entries.entry(path))


async def upload(request: Request) -> Response:
    return JSONResponse(await receive_form(request))


async def put_content(request: Request) -> Response:
    query = fields.query(request, ("path", "mode", "createDir"))
    path, mode = resolve(query.required("path", str)), query.maybe("mode", str)
    bits = None if mode is None else files.parse_mode(mode)
    create_folder = query.flag("createDir", default=True)
    return JSONResponse(await receive_body(request, path, bits, create_folder=create_folder))


async def download(request: Request) -> Response:
    return Download(_path(request), request.headers)


async def find(request: Request) -> Response:
    query = fields.query(request, ("path", "pattern", "content", "limit"))
    path = resolve(query.optional("path", str, str(home())))
    pattern, content = query.optional("pattern", str, "*"), query.optional("content", str, "")
    return JSONResponse(await search(path, pattern, content, query.number("limit", DEFAULT_LIMIT, most=MAX_LIMIT)))


async def watch_folder(request: Request) -> Response:
    query = fields.query(request, ("path", "recursive"))
    path = resolve(query.optional("path", str, str(home())))
    return EventStream(watch(path, recursive=query.flag("recursive", default=True)))


async def patch(request: Request) -> Response:
    """What was changed in a folder, compared with another one."""
    query = fields.query(request, ("path", "original"))
    original, changed = resolve(query.required("original", str)), resolve(query.required("path", str))
    return JSONResponse({"patch": await in_thread(lambda: unified(original, changed))})


def routes() -> list[Route]:
    """The table of this part of the interface."""
    return [
        Route("/files", read_file, methods=["GET"]),
        Route("/files", write_file, methods=["POST"]),
        Route("/files/batch", batch, methods=["POST"]),
        Route("/filesystem", list_folder, methods=["GET"]),
        Route("/filesystem/stat", stat, methods=["GET"]),
        Route("/filesystem/mkdir", make_folder, methods=["POST"]),
        Route("/filesystem/move", move, methods=["POST"]),
        Route("/filesystem/remove", remove, methods=["POST"]),
        Route("/filesystem/permissions", change_permissions, methods=["POST"]),
        Route("/filesystem/upload", upload, methods=["POST"]),
        Route("/filesystem/content", put_content, methods=["PUT"]),
        Route("/filesystem/download", download, methods=["GET"]),
        Route("/filesystem/search", find, methods=["GET"]),
        Route("/filesystem/patch", patch, methods=["GET"]),
        Route("/filesystem/watch", watch_folder, methods=["GET"]),
    ]


def _path(request: Request) -> Path:
    return resolve(fields.query(request, ("path",)).required("path", str))


async def _read(path: Path) -> dict[str, object]:
    if entries.entry(path)["size"] <= AT_ONCE:
        return files.read(path)
    return await in_thread(lambda: files.read(path))


async def _write(body: fields.Fields) -> dict[str, object]:
    path, content = resolve(body.required("path", str)), body.required("content", str)
    mode, encoding = body.maybe("mode", str), body.optional("encoding", str, "utf-8")
    create = body.optional("createDir", bool, True)

    def write() -> dict[str, object]:
        return files.write(path, content, mode=mode, encoding=encoding, create_folder=create)

    return write() if len(content) <= AT_ONCE else await in_thread(write)
