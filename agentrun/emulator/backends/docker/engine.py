"""The container engine of this machine, spoken to over its unix socket without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

from agentrun.emulator.backends.base import BackendError, NotCapable

Result = TypeVar("Result")

DEFAULT_HOST = "unix:///var/run/docker.sock"
TIMEOUT_SECONDS = 600
THREADS = 8
CONFLICT = 409
NO_PACKAGE = "the docker backend needs the docker package: run pip install 'agentrun[docker]'"
NO_ENGINE = "start it with `systemctl start docker`, or install it with `apt-get install docker.io`"


class NotFound(BackendError):
    """The engine does not have what was asked for."""


class InProgress(BackendError):
    """The engine is doing just that already, for somebody else."""


class Engine:
    """The calls that the backend makes; every one raises BackendError with what the engine said."""

    def __init__(self, client: Any, errors: Any, path: Path) -> None:
        self.path = path
        self._client = client
        self._errors = errors
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="container-engine")

    async def run(self, call: Callable[[], Result]) -> Result:
        """Carry out blocking calls in one of the engine's own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown(wait=False)
        self._client.close()

    # About the engine

    def info(self) -> dict[str, Any]:
        about: dict[str, Any] = self._told(self._client.info)
        return about

    # Containers

    def create(self, name: str, config: Mapping[str, Any]) -> str:
        """Make a container from the body of the Engine API; returns its id."""
        created = self._told(lambda: self._client.create_container_from_config(dict(config), name))
        return str(created["Id"])

    def start(self, container: str) -> None:
        self._told(lambda: self._client.start(container))

    def rename(self, container: str, name: str) -> None:
        self._told(lambda: self._client.rename(container, name))

    def pause(self, container: str) -> None:
        self._told(lambda: self._client.pause(container))

    def resume(self, container: str) -> None:
        self._told(lambda: self._client.unpause(container))

    def inspect(self, container: str) -> dict[str, Any]:
        about: dict[str, Any] = self._told(lambda: self._client.inspect_container(container))
        return about

    def wait(self, container: str) -> None:
        """Return once it has ended."""
        self._told(lambda: self._client.wait(container, timeout=TIMEOUT_SECONDS))

    def remove(self, container: str) -> None:
        """Kill and remove a container with what it wrote, or wait for whoever does; nothing happens without one."""
        try:
            self._unless_gone(lambda: self._client.remove_container(container, force=True, v=True))
        except InProgress:
            self._unless_gone(lambda: self._client.wait(container, timeout=TIMEOUT_SECONDS, condition="removed"))

    def containers(self, label: str) -> list[dict[str, Any]]:
        """All that have a label, running or not."""
        found: list[dict[str, Any]] = self._told(lambda: self._client.containers(all=True, filters={"label": [label]}))
        return found

    # Networks and volumes

    def create_network(self, name: str, labels: Mapping[str, str], internal: bool, options: Mapping[str, str]) -> str:
        made = self._told(
            lambda: self._client.create_network(
                name, driver="bridge", internal=internal, labels=dict(labels), options=dict(options)
            )
        )
        return str(made["Id"])

    def connect(self, container: str, network: str) -> None:
        self._told(lambda: self._client.connect_container_to_network(container, network))

    def disconnect(self, container: str, network: str) -> None:
        self._told(lambda: self._client.disconnect_container_from_network(container, network, force=True))

    def networks(self, label: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._told(lambda: self._client.networks(filters={"label": [label]}))
        return found

    def remove_network(self, network: str) -> None:
        self._unless_gone(lambda: self._client.remove_network(network))

    def create_volume(self, name: str, labels: Mapping[str, str], options: Mapping[str, str]) -> None:
        self._told(lambda: self._client.create_volume(name, driver="local", driver_opts=dict(options), labels=labels))

    def volumes(self, label: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] | None = self._told(lambda: self._client.volumes(filters={"label": [label]}))[
            "Volumes"
        ]
        return found or []

    def remove_volume(self, name: str) -> None:
        self._unless_gone(lambda: self._client.remove_volume(name, force=True))

    # Images

    def image(self, name: str) -> dict[str, Any] | None:
        """An image's description; None when there is none of this name."""
        try:
            found: dict[str, Any] = self._told(lambda: self._client.inspect_image(name))
        except NotFound:
            return None
        return found

    def images(self, label: str, dangling: bool = False) -> list[dict[str, Any]]:
        filters: dict[str, Any] = {"label": [label], **({"dangling": True} if dangling else {})}
        found: list[dict[str, Any]] = self._told(lambda: self._client.images(filters=filters))
        return found

    def pull(self, name: str) -> None:
        self._told(lambda: self._client.pull(name))

    def import_file(self, archive: Path, name: str, changes: Sequence[str]) -> None:
        """Make an image out of a tar archive of a file system."""
        repository, _, tag = name.rpartition(":")
        self._told(lambda: self._client.import_image_from_file(str(archive), repository, tag, changes=list(changes)))

    def build(
        self, context: IO[bytes], name: str, arguments: Mapping[str, str], labels: Mapping[str, str]
    ) -> Iterator[str]:
        """Build from a tar archive opened for reading; yields what the engine tells, BackendError when it fails."""
        messages = self._told(
            lambda: self._client.build(
                fileobj=context,
                custom_context=True,
                tag=name,
                buildargs=dict(arguments),
                labels=dict(labels),
                rm=True,
                forcerm=True,
                decode=True,
            )
        )
        for message in messages:
            if "error" in message:
                raise BackendError(f"building {name} failed: {str(message['error']).strip()}")
            yield str(message.get("stream", ""))

    def tag(self, image: str, name: str) -> None:
        repository, _, tag = name.rpartition(":")
        self._told(lambda: self._client.tag(image, repository, tag))

    def remove_image(self, name: str) -> None:
        self._unless_gone(lambda: self._client.remove_image(name))

    def _told(self, call: Callable[[], Any]) -> Any:
        """The answer of the engine, its complaints as BackendError."""
        try:
            return call()
        except self._errors.NotFound as error:
            raise NotFound(f"container engine: {error.explanation or error}") from None
        except self._errors.APIError as error:
            if error.status_code == CONFLICT and "in progress" in str(error.explanation):
                raise InProgress(f"container engine: {error.explanation}") from None
            raise BackendError(f"container engine: {error.explanation or error}") from None
        except (self._errors.DockerException, OSError) as error:
            raise BackendError(f"the container engine at {self.path} does not answer ({error}): {NO_ENGINE}") from None

    def _unless_gone(self, call: Callable[[], Any]) -> None:
        try:
            self._told(call)
        except NotFound:
            return


def connect() -> Engine:
    """The engine at DOCKER_HOST or the usual socket; NotCapable or BackendError with the fix when there is none."""
    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    if not host.startswith("unix://"):
        raise NotCapable(
            f"the container engine {host} is not on this machine, and its containers could not share a unix socket "
            "with the emulator: unset DOCKER_HOST or set it to unix:///..."
        )
    path = Path(host.removeprefix("unix://"))
    client, errors = _client(host, path)
    return Engine(client, errors, path)


def _client(host: str, path: Path) -> tuple[Any, Any]:
    try:
        library: Any = importlib.import_module("docker")
    except ModuleNotFoundError:
        raise NotCapable(NO_PACKAGE) from None
    try:
        _knock(path)
        return library.APIClient(base_url=host, version="auto", timeout=TIMEOUT_SECONDS), library.errors
    except (library.errors.DockerException, OSError) as error:
        hint = _hint(path)
        raise BackendError(f"no container engine answers at {path} ({_first_line(error)}): {hint}") from None


def _knock(path: Path) -> None:
    """OSError when nobody listens; the library would say so too, but leak its socket."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as knocking:
        knocking.connect(str(path))


def _hint(path: Path) -> str:
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return "you may not use it: run `sudo usermod -aG docker $USER` and log in again"
    return NO_ENGINE


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
