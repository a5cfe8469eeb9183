"""The emulators that run: finding the one that is meant, and asking it."""

from __future__ import annotations

import json
import os
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from agentrun._core import local
from agentrun.cli.output import CommandError
from agentrun.emulator import records
from agentrun.emulator.records import RunningEmulator

# As long as the slowest of them may take: the first look at how code can be isolated.
_TIMEOUT_SECONDS = 30.0


def find(port: int | None = None) -> RunningEmulator:
    """The emulator on a port; without one the only emulator, or the one on the usual port.

    Raises CommandError when there is none, or when it could be several.
    """
    found = records.running()
    wanted = [emulator for emulator in found if emulator.port == port] if port is not None else found
    if len(wanted) > 1:
        wanted = [emulator for emulator in wanted if emulator.port == local.PORT] or wanted
    if len(wanted) == 1:
        return wanted[0]
    raise CommandError(_not_found(found, port))


def use(port: int | None) -> None:
    """Let this process talk to the emulator on a port; without one, to what the environment names or to what runs."""
    if port is not None or ("AGENTRUN_DATA_ENDPOINT" not in os.environ and records.running()):
        os.environ.update(find(port).environment)


def _not_found(found: list[RunningEmulator], port: int | None) -> str:
    ports = ", ".join(str(emulator.port) for emulator in found)
    if not found:
        return "no emulator runs: start one with `agentrun emulator up --detach`"
    return f"no emulator runs on port {port}: choose {ports}" if port is not None else f"which one? --port {ports}"


def ask(emulator: RunningEmulator, method: str, name: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
    """What an emulator answers on a route of its own; raises CommandError when it does not answer."""
    connection = _connection(emulator)
    try:
        connection.request(method, f"/_emulator/{name}?{urlencode(query or {})}")
        answer = connection.getresponse()
        body: dict[str, Any] = json.loads(answer.read())
    except (OSError, HTTPException, ValueError) as error:
        raise CommandError(
            f"the emulator at {emulator.url} does not answer ({error}): stop it with "
            f"`agentrun emulator down --port {emulator.port}`"
        ) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise CommandError(f"the emulator at {emulator.url} answers {answer.status}: {body.get('message')}")
    return body


def _connection(emulator: RunningEmulator) -> HTTPConnection:
    url = urlsplit(emulator.url)
    host = url.hostname or local.HOST
    if url.scheme == "http":
        return HTTPConnection(host, emulator.port, timeout=_TIMEOUT_SECONDS)
    context = ssl.create_default_context(cafile=emulator.environment["SSL_CERT_FILE"])
    return HTTPSConnection(host, emulator.port, timeout=_TIMEOUT_SECONDS, context=context)
