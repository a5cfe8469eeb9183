"""The images that sandboxes are made from: built on this machine, from packages, without a registry.

Three follow from each other: a base system, the system of a sandbox type with its libraries, and that system with the
server of a sandbox. Each is labelled with a hash of what went into it, so that only what changed is built again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from agentrun.emulator.backends import trust
from agentrun.emulator.backends.base import BackendError, NotCapable
from agentrun.emulator.backends.docker import bootstrap, host_settings
from agentrun.emulator.backends.docker.engine import Engine
from agentrun.emulator.launcher import seccomp

CODE_INTERPRETER = "code-interpreter"
TYPES = (CODE_INTERPRETER,)
GUEST = "agentrun.emulator.guest"
RECIPES = Path(__file__).with_name("images")
IMAGE, CONTENTS = "agentrun.image", "agentrun.contents"
PARENT, STAGE = "agentrun.parent", "agentrun.stage"
BUILD = "agentrun emulator images build"
MEBIBYTE = 1024 * 1024

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """An image of ours that the engine has; `size` in MiB."""

    name: str
    size: int
    created: float
    current: bool


def name_of(image_type: str) -> str:
    """The name of the image of a sandbox type."""
    return f"agentrun/{image_type}:latest"


def check(engine: Engine, image_type: str = CODE_INTERPRETER) -> str:
    """The name of the image of a sandbox type; BackendError when it is missing or holds another version's server."""
    name = name_of(image_type)
    check_contents(engine, name, contents(image_type))
    return name


def check_contents(engine: Engine, name: str, wanted: str) -> None:
    """BackendError with the fix when an image is missing or was made from something else."""
    found = engine.image(name)
    if found is None:
        raise BackendError(f"the image {name} is missing: run `{BUILD}`")
    if _label(found, CONTENTS) != wanted:
        raise BackendError(f"the image {name} was built from another version of agentrun: run `{BUILD}`")


def contents(image_type: str = CODE_INTERPRETER) -> str:
    """A hash of what this version puts into the image of a sandbox type."""
    return _digest({**_recipe(image_type), **_guest_files()})


def built(engine: Engine) -> list[Built]:
    """The images of ours that the engine has, by name."""
    found = [image for image in engine.images(IMAGE) if image.get("RepoTags") not in (None, ["<none>:<none>"])]
    return sorted((_described(image) for image in found), key=lambda image: image.name)


class Builder:
    """Builds the image of one sandbox type, and what it needs first; `tell` gets a line for each step."""

    def __init__(self, engine: Engine, tell: Tell, image_type: str = CODE_INTERPRETER) -> None:
        if image_type not in TYPES:
            raise BackendError(f"there is no image {image_type!r}: choose one of {', '.join(TYPES)}")
        self._engine = engine
        self._tell = tell
        self._type = image_type

    def build(self, base: str | None = None, anew: bool = False) -> str:
        """Make sure that the image is current, `anew` from the base on; returns its name."""
        base_name = self._fetched(base) if base else self._own_base(anew)
        system = self._system(base_name, anew)
        name = name_of(self._type)
        wanted = contents(self._type)
        if self._is(name, wanted, system):
            self._tell(f"{name} is current")
            return name
        with self._step(f"building {name}"):
            arguments = {"SYSTEM": system}
            files = {"Dockerfile": (RECIPES / "guest.Dockerfile").read_bytes(), **_guest_files()}
            self._run(files, name, arguments, self._labels(self._type, wanted, system))
            self._forget_replaced()
        return name

    def _fetched(self, name: str) -> str:
        if self._engine.image(name) is None:
            with self._step(f"pulling {name}"):
                self._engine.pull(name if ":" in name else f"{name}:latest")
        return name

    def _own_base(self, anew: bool) -> str:
        """The base made of this machine's own packages; made when there is none of these packages."""
        release = host_settings.codename() or "none"
        name, wanted = f"agentrun/base:{release}", _digest({"packages": " ".join(bootstrap.PACKAGES).encode()})
        if not anew and self._is(name, wanted):
            self._tell(f"{name} is current")
            return name
        with (
            self._step(f"making {name} of Debian packages"),
            tempfile.TemporaryDirectory(prefix="agentrun-image-") as folder,
        ):
            archive = Path(folder, "system.tar")
            bootstrap.make_system(archive, self._tell_indented)
            labels = self._labels("base", wanted)
            self._engine.import_file(archive, name, [f"LABEL {key}={value}" for key, value in labels.items()])
        return name

    def _system(self, base: str, anew: bool) -> str:
        name, wanted = f"agentrun/{self._type}-system:latest", _digest(_recipe(self._type))
        if not anew and self._is(name, wanted, base):
            self._tell(f"{name} is current")
            return name
        stage = uuid.uuid4().hex
        with self._step(f"building {name}"):
            arguments = {"BASE": base, "STAGE": stage, **host_settings.proxies()}
            try:
                files = {**_recipe(self._type), **_host_files()}
                self._run(files, name, arguments, self._labels(f"{self._type}-system", wanted, base))
            finally:
                self._forget_stage(stage)
        return name

    def _run(
        self, files: Mapping[str, bytes], name: str, arguments: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        with tempfile.TemporaryFile() as context:
            _write_archive(context, files)
            for text in self._engine.build(context, name, arguments, labels):
                for line in filter(_informs, map(str.strip, text.splitlines())):
                    self._tell_indented(line)

    def _forget_stage(self, stage: str) -> None:
        """Remove the stage that saw the settings of this machine, which the engine keeps as a cache."""
        for image in self._engine.images(f"{STAGE}={stage}", dangling=True):
            self._engine.remove_image(str(image["Id"]))

    def _forget_replaced(self) -> None:
        """Remove images of ours that lost their name to a newer one; those in use stay until the next time."""
        for image in self._engine.images(IMAGE, dangling=True):
            with contextlib.suppress(BackendError):
                self._engine.remove_image(str(image["Id"]))

    def _labels(self, image: str, wanted: str, parent: str | None = None) -> dict[str, str]:
        labels = {IMAGE: image, CONTENTS: wanted}
        return {**labels, PARENT: self._id(parent)} if parent else labels

    def _is(self, name: str, wanted: str, parent: str | None = None) -> bool:
        """Whether the image exists with these contents, made from what its parent is now."""
        found = self._engine.image(name)
        if found is None or _label(found, CONTENTS) != wanted:
            return False
        return parent is None or _label(found, PARENT) == self._id(parent)

    def _id(self, name: str) -> str:
        return str((self._engine.image(name) or {}).get("Id", ""))

    def _tell_indented(self, text: str) -> None:
        self._tell(f"  {text}")

    def _step(self, text: str) -> _Step:
        return _Step(text, self._tell)


class _Step:
    """Tells when a step begins, and how long it took."""

    def __init__(self, text: str, tell: Tell) -> None:
        self._text = text
        self._tell = tell
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()
        self._tell(f"{self._text} ...")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._tell(f"{self._text}: done in {time.monotonic() - self._began:.1f} s")


def _recipe(image_type: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((RECIPES / image_type).iterdir()) if file.is_file()}


def _guest_files() -> dict[str, bytes]:
    """The server of a sandbox as it is installed here, and what starts and confines it, by their paths in the build."""
    spec = find_spec(GUEST)
    if spec is None or spec.origin is None:
        raise BackendError(f"the package {GUEST} is not installed: run pip install 'agentrun[emulator]'")
    folder, inside = Path(spec.origin).parent, GUEST.replace(".", "/")
    files = sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    server = {f"{inside}/{file.relative_to(folder)}": file.read_bytes() for file in files}
    return {**server, "enter.py": (RECIPES / "enter.py").read_bytes(), "filter": _filter()}


@cache
def _filter() -> bytes:
    """The filter of system calls that sandboxes of the process backend have too."""
    try:
        return seccomp.compile_filter()
    except NotImplementedError as error:
        raise NotCapable(f"system calls cannot be filtered in containers: {error}") from None


def _host_files() -> dict[str, bytes]:
    trusted = trust.certificates()
    return {
        "host/pip.conf": host_settings.pip_settings().encode(),
        "host/certificates.pem": trusted.read_bytes() if trusted else b"",
    }


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()


def _write_archive(target: IO[bytes], files: Mapping[str, bytes]) -> None:
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    target.seek(0)


def _label(image: Mapping[str, Any], name: str) -> str | None:
    config: Mapping[str, Any] = image["Config"] or {}
    labels: Mapping[str, str] | None = config.get("Labels")
    return (labels or {}).get(name)


def _described(image: Mapping[str, Any]) -> Built:
    labels: Mapping[str, str] = image["Labels"]
    current = labels[IMAGE] not in TYPES or labels[CONTENTS] == contents(labels[IMAGE])
    return Built(image["RepoTags"][0], image["Size"] // MEBIBYTE, float(image["Created"]), current)


def _informs(line: str) -> bool:
    """Whether a line of the engine says more than which layer it makes."""
    return bool(line) and not line.startswith(("--->", "Removing intermediate container", "Successfully "))
