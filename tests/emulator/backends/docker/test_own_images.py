from __future__ import annotations

import pytest

from agentrun.emulator.backends.base import BackendError, Image, NetworkPolicy, NetworkRule, NotCapable, SandboxSpec
from agentrun.emulator.backends.docker import DockerBackend
from tests.emulator.backends.docker.conftest import client_of, containers_of, started

pytestmark = pytest.mark.asyncio(loop_scope="module")
# Answers with a variable, its network interfaces, and what comes of connecting to where the path says.
SERVER = """
import http.server, os, socket
def connect(host, port):
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError as error:
        return type(error).__name__
    return 'connected'
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        _, *target = self.path.split('/')
        found = connect(*target) if len(target) == 2 else os.environ['WHO']
        interfaces = ' '.join(sorted(name for _, name in socket.if_nameindex() if name.startswith('eth')))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f'{found} {interfaces}'.encode())
http.server.HTTPServer(('0.0.0.0', 8123), Handler).serve_forever()
"""


def spec(image: str, network: NetworkPolicy, *command: str) -> SandboxSpec:
    return SandboxSpec("own", {"WHO": "me"}, network=network, image=Image(image, command, 8123))


def server(image: str, sandbox_id: str, mode: str = "off") -> SandboxSpec:
    own = Image(image, ("python3", "-c", SERVER), 8123)
    return SandboxSpec(sandbox_id, {"WHO": "me"}, network=NetworkPolicy(mode), image=own)


async def test_its_own_command_answers_at_its_port(backend: DockerBackend, image: str) -> None:
    running = await started(backend, server(image, "own"))
    try:
        assert "an own uid" in running.isolation.missing
        async with client_of(running) as client:
            assert (await client.get("/")).text == "me eth0"
            await running.pause()
            await running.resume()
            assert (await client.get("/")).status_code == 200
    finally:
        await running.stop()


async def test_its_network_is_on_or_off(backend: DockerBackend, image: str) -> None:
    running = await started(backend, server(image, "net", "on"))
    try:
        async with client_of(running) as client:
            assert (await client.get("/")).text == "me eth0 eth1"
            await running.set_network(NetworkPolicy("off"))
            assert (await client.get("/")).text == "me eth0"
            assert (await client.get("/192.0.2.1/9")).text.split()[0] in ("TimeoutError", "OSError")
        with pytest.raises(NotCapable, match="on or off"):
            await running.set_network(NetworkPolicy("allow-list", (NetworkRule(domain="example.com"),)))
    finally:
        await running.stop()


async def test_two_cannot_reach_each_other(backend: DockerBackend, image: str) -> None:
    first, second = [await started(backend, server(image, name)) for name in ("one", "two")]
    try:
        networks = backend.engine.inspect(second.container)["NetworkSettings"]["Networks"]
        address = next(iter(networks.values()))["IPAddress"]
        async with client_of(first) as client:
            assert (await client.get(f"/{address}/8123")).text.startswith("TimeoutError")
        async with client_of(second) as client:
            assert (await client.get(f"/{address}/8123")).text.startswith("connected")
    finally:
        await first.stop()
        await second.stop()


async def test_one_that_ends_says_how(backend: DockerBackend, image: str) -> None:
    before = len(containers_of(backend))
    command = ("python3", "-c", "print('no configuration'); raise SystemExit(3)")
    with pytest.raises(BackendError, match=r"exited with code 3 before answering; last lines:\nno configuration"):
        await started(backend, spec(image, NetworkPolicy("off"), *command))
    assert len(containers_of(backend)) == before


async def test_a_command_that_is_not_there_is_named(backend: DockerBackend, image: str) -> None:
    before = len(containers_of(backend))
    with pytest.raises(BackendError, match="nothing-here"):
        await started(backend, spec(image, NetworkPolicy("off"), "nothing-here"))
    assert len(containers_of(backend)) == before


async def test_an_image_that_is_not_there_is_named(backend: DockerBackend) -> None:
    with pytest.raises(BackendError, match="not in the container engine and cannot be pulled"):
        await started(backend, spec("agentrun-test/absent:none", NetworkPolicy("off")))
