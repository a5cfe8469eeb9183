"""Uploads: a multipart form whose file goes to disk as it comes, whatever its size."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from agentrun.emulator.guest.errors import BadRequest, Unavailable, from_os_error
from agentrun.emulator.guest.files import prepare_folder
from agentrun.emulator.guest.paths import home, resolve

COPY_CHUNK = 1024 * 1024


async def receive(request: Request) -> dict[str, Any]:
    """Store the form's part `file` at its field `path`; in a folder, or after a /, it gets the file's own name."""
    if importlib.util.find_spec("python_multipart") is None:
        raise Unavailable("uploads need the package python-multipart in the sandbox: pip install python-multipart")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadRequest("an upload is a multipart/form-data request with the field 'path' and the file part 'file'")
    tempfile.tempdir = str(home())  # /tmp may be memory, and a large upload must not fill that
    async with request.form() as form:
        path, file = _parts(form)
        size = await run_in_threadpool(_store, file, path)
    return {"path": str(path), "size": size, "message": "uploaded"}


def _parts(form: FormData) -> tuple[Path, UploadFile]:
    name, file = form.get("path"), form.get("file")
    if not isinstance(name, str) or not name:
        raise BadRequest("the form field 'path' is required")
    if not isinstance(file, UploadFile):
        raise BadRequest("the form's file part 'file' is required")
    path = resolve(name)
    if name.endswith("/") or path.is_dir():
        path /= Path(file.filename or "upload").name
    return path, file


def _store(file: UploadFile, path: Path) -> int:
    prepare_folder(path)
    try:
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target, COPY_CHUNK)
            return target.tell()
    except OSError as error:
        raise from_os_error(error, str(path)) from None
