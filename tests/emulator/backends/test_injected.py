"""Placeholders in what the process backend runs: hosts with names, a service, and what is refused."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from agentrun.emulator.authority import Authority
from agentrun.emulator.backends.base import (
    BackendError,
    HealthCheck,
    Image,
    NotCapable,
    SandboxSpec,
    ServiceSpec,
)
from agentrun.emulator.backends.docker import DockerBackend
from agentrun.emulator.backends.egress import EgressProxy
from agentrun.emulator.backends.injection.hosts import AllowedHost
from agentrun.emulator.backends.injection.placeholders import Injection, Placeholder, Usable, make_text
from agentrun.emulator.backends.process import ProcessBackend
from tests.emulator import upstreams
from tests.emulator.backends.conftest import client_of
from tests.emulator.upstreams import Upstream

SECRET = "the real secret"
AGENT = """
import http.server, json, os, subprocess, urllib.request

class Agent(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        request = urllib.request.Request(os.environ["TARGET"], headers={"X-Key": os.environ["KEY"]})
        body = urllib.request.urlopen(request).read()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Agent).serve_forever()
"""


@asynccontextmanager
async def ground(folder: Path, *names: str) -> AsyncGenerator[tuple[ProcessBackend, Upstream]]:
    """A backend for which every name leads to one server, whose certificate is for some of them."""
    authority = Authority("the tests")
    with (
        upstreams.running(authority, folder, *names) as upstream,
        tempfile.TemporaryDirectory(prefix="ar") as directory,
    ):
        egress = EgressProxy(
            lambda address: True,
            trusted=upstreams.trusted(authority, folder),
            look_up=lambda host: [ip_address(upstreams.HOST)],
        )
        backend = ProcessBackend(
            run_directory=Path(directory) / "run", emulator_socket=None, emulator_port=7000, egress=egress
        )
        await backend.start()
        try:
            yield backend, upstream
        finally:
            await backend.close()


def injection_for(*hosts: str) -> Injection:
    allowed = tuple(map(AllowedHost.read, hosts))
    placeholder = Placeholder(make_text(), "api", "secret", ("KEY",), allowed)
    return Injection("it", [placeholder], lambda name: Usable({"secret": SECRET}, allowed))


def code_in(folder: Path) -> Path:
    code = folder / "code"
    code.mkdir()
    (code / "main.py").write_text(AGENT)
    return code


def service(folder: Path, url: str, injection: Injection) -> ServiceSpec:
    environment = {"TARGET": url, **injection.environment}
    command = ("python3", "main.py")
    return ServiceSpec("svc", code_in(folder), command, 9000, environment, HealthCheck(), injection=injection)


@pytest.mark.asyncio
async def test_a_service_has_a_way_out_of_its_own(tmp_path: Path) -> None:
    async with ground(tmp_path, "api.example.com") as (backend, upstream):
        injection = injection_for(f"*.example.com:{upstream.port}")
        url = f"https://api.example.com:{upstream.port}/service"
        running = await backend.start_service(service(tmp_path, url, injection))
        try:
            await running.wait_ready()
            async with client_of(running) as client:
                said = (await client.get("/")).json()
        finally:
            await running.stop()
        assert upstream.last["headers"]["X-Key"] == SECRET
        assert said["headers"]["X-Key"] == injection.placeholders[0].text
        await asyncio.sleep(0)
        assert list((backend.run_directory).glob("*/egress")) == []


@pytest.mark.asyncio
async def test_a_sandbox_by_the_names_of_hosts(tmp_path: Path) -> None:
    """A name that a wildcard allows, one that it does not, and one whose server has a certificate of another."""
    async with ground(tmp_path, "api.example.com") as (backend, upstream):
        port = upstream.port
        injection = injection_for(f"*.example.com:{port}")
        running = await backend.start_sandbox(SandboxSpec("s", injection=injection))
        try:
            await running.wait_ready()
            fetch = f'curl -s -H "X-Key: $KEY" https://{{name}}:{port}/{{name}} 2>&1; echo $?'
            said = [await ran(running.socket, fetch.format(name=f"{name}.example.com")) for name in ("api", "other")]
            assert injection.placeholders[0].text in said[0]
            assert SECRET not in said[0]
            assert said[1].strip() == "56"  # The proxy refused the tunnel.
            assert [one["path"] for one in upstream.received] == ["/api.example.com"]
            assert upstream.last["headers"]["X-Key"] == SECRET
            await ran(running.socket, f'curl -sk -H "X-Key: $KEY" https://example.com:{port}/bare')
            assert upstream.last["headers"]["X-Key"] == injection.placeholders[0].text
        finally:
            await running.stop()


async def ran(socket: Path, command: str) -> str:
    """What a shell command prints in a sandbox."""
    body = json.dumps({"command": command, "timeout": 30}).encode()
    reader, writer = await asyncio.open_unix_connection(str(socket))
    head = f"POST /processes/cmd HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
    answer = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    stdout: str = json.loads(answer)["result"]["stdout"]
    return stdout


@pytest.mark.asyncio
async def test_what_has_no_proxy_is_refused(tmp_path: Path) -> None:
    injection = injection_for("api.example.com")
    with tempfile.TemporaryDirectory(prefix="ar") as directory:
        place = {"run_directory": Path(directory) / "run", "emulator_socket": None, "emulator_port": 7000}
        unconfined = ProcessBackend(**place, confined=False)  # type: ignore[arg-type]  # one dictionary for both
        await unconfined.start()
        try:
            with pytest.raises(NotCapable, match="credentials need the proxy"):
                await unconfined.start_sandbox(SandboxSpec("s", injection=injection))
            with pytest.raises(BackendError, match="no proxy that could put the secrets in"):
                await unconfined.start_service(service(tmp_path, "https://api.example.com/", injection))
        finally:
            await unconfined.close()
        docker = DockerBackend(**place)  # type: ignore[arg-type]  # as above
        spec = replace(SandboxSpec("s", injection=injection), image=Image("mine"))
        with pytest.raises(NotCapable, match="a custom image has no proxy inside"):
            await docker.start_sandbox(spec)
