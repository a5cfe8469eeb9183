"""Placeholders in containers: the same proxy, and a bundle where programs look by themselves."""

from __future__ import annotations

import tempfile
from ipaddress import ip_address
from pathlib import Path

import pytest

from agentrun.emulator.authority import Authority
from agentrun.emulator.backends.base import Image, NotCapable, SandboxSpec
from agentrun.emulator.backends.docker import DockerBackend
from agentrun.emulator.backends.egress import EgressProxy
from agentrun.emulator.backends.injection.hosts import AllowedHost
from agentrun.emulator.backends.injection.placeholders import Injection, Placeholder, Usable, make_text
from tests.emulator import upstreams
from tests.emulator.backends.docker.conftest import containers_of, shell, started

SECRET = "the real secret of a container"


def injection_for(*hosts: str) -> Injection:
    allowed = tuple(map(AllowedHost.read, hosts))
    placeholder = Placeholder(make_text(), "api", "secret", ("KEY",), allowed)
    return Injection("it", [placeholder], lambda name: Usable({"secret": SECRET}, allowed))


@pytest.mark.asyncio
async def test_a_container_uses_a_secret_that_it_does_not_have(image: str, tmp_path: Path) -> None:
    authority = Authority("the tests")
    with (
        upstreams.running(authority, tmp_path, "api.example.com") as api,
        tempfile.TemporaryDirectory(prefix="ar") as directory,
    ):
        egress = EgressProxy(
            lambda address: True,
            trusted=upstreams.trusted(authority, tmp_path),
            look_up=lambda host: [ip_address(upstreams.HOST)],
        )
        backend = DockerBackend(
            run_directory=Path(directory) / "run", emulator_socket=None, emulator_port=7000, warm=1, egress=egress
        )
        await backend.start()
        injection = injection_for(f"api.example.com:{api.port}")
        try:
            running = await started(backend, SandboxSpec("keyed", injection=injection))
            url = f"https://api.example.com:{api.port}"
            headers = "{'X-Key': os.environ['KEY']}"
            code = f"import os, urllib.request as u; r = u.Request('{url}/python', headers={headers})"
            said = await shell(running, f'python3 -c "{code}; print(u.urlopen(r).read().decode())"')
            assert injection.placeholders[0].text in said, said
            assert api.last["headers"]["X-Key"] == SECRET
            assert SECRET not in await shell(running, "env; cat /proc/*/environ")
            # A program that reads no variable trusts the file that it looks for by itself.
            without = "env -u SSL_CERT_FILE -u CURL_CA_BUNDLE python3 -c"
            assert "api.example.com" in await shell(running, f'{without} "{code}; print(u.urlopen(r).read().decode())"')
            [container] = containers_of(backend)
            assert SECRET not in str(backend.engine.inspect(container["Id"]))
            await running.stop()
        finally:
            await backend.close()


@pytest.mark.asyncio
async def test_an_image_of_the_user_s_own_has_no_proxy(image: str) -> None:
    with tempfile.TemporaryDirectory(prefix="ar") as directory:
        backend = DockerBackend(run_directory=Path(directory) / "run", emulator_socket=None, emulator_port=7000, warm=0)
        await backend.start()
        try:
            spec = SandboxSpec("own", image=Image(image), injection=injection_for("api.example.com"))
            with pytest.raises(NotCapable, match="a custom image has no proxy inside"):
                await backend.start_sandbox(spec)
            assert containers_of(backend) == []
        finally:
            await backend.close()
