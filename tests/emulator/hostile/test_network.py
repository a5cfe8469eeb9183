"""Code that wants out, or in where it does not belong: to the host, to the emulator, to private addresses."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager

import httpx
import pytest

from agentrun._core.local import ACCESS_KEY_SECRET
from tests.emulator.hostile.arena import Arena

HIDDEN = "what only this machine may see"
CONNECT = """
import socket, sys
def connects(host, port):
    try:
        with socket.create_connection((host, port), 1): return True
    except OSError: return False
"""
PROXY = """
import socket
def ask(head):
    with socket.create_connection(('127.0.0.1', 3128), 5) as connection:
        connection.sendall(head.encode())
        connection.settimeout(5)
        data = b''
        try:
            while len(data) < 4096 and (more := connection.recv(4096)): data += more
        except OSError: pass
        return data.decode('latin-1')
"""
# Every way of writing an address that is not public, or of hiding it behind one that is.
PRIVATE = [
    "127.0.0.1:{port}",
    "localhost:{port}",
    "LOCALHOST.:{port}",
    "127.1:{port}",
    "127.0.1:{port}",
    "0:{port}",
    "0.0.0.0:{port}",
    "2130706433:{port}",
    "017700000001:{port}",
    "0x7f000001:{port}",
    "0x7f.1:{port}",
    "0177.0.0.1:{port}",
    "[::1]:{port}",
    "[::]:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "[::ffff:7f00:1]:{port}",
    "[::127.0.0.1]:{port}",
    "[64:ff9b::7f00:1]:{port}",
    "[2002:7f00:1::]:{port}",
    "[fe80::1]:{port}",
    "169.254.169.254:80",
    "[fd00:ec2::254]:80",
    "100.100.100.200:80",
    "10.0.0.1:80",
    "172.16.0.1:80",
    "192.168.0.1:80",
    "224.0.0.1:80",
    "255.255.255.255:80",
    "ip6-localhost:{port}",
    "localhost.localdomain:{port}",
]
NAMES_FOR_PRIVATE = ["localtest.me", "127.0.0.1.nip.io", "169.254.169.254.nip.io"]


class _Hidden(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(HIDDEN.encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def hidden_server() -> Generator[int]:
    """A server of the host on its loopback; its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hidden)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_nothing_of_the_host_is_on_the_loopback(arena: Arena) -> None:
    with hidden_server() as port:
        code = (
            f"{CONNECT}print([host for host in ('127.0.0.1', '::1', '0.0.0.0', 'localhost') if connects(host, {port})])"
        )
        assert arena.python(code).said == "[]"


def test_nothing_is_reached_without_the_proxy(arena: Arena) -> None:
    hosts = ("1.1.1.1", "8.8.8.8", "169.254.169.254", "10.0.0.1", "2606:4700:4700::1111", "192.168.0.1")
    code = f"""{CONNECT}
for host in {hosts!r}:
    if connects(host, 53) or connects(host, 80): print(host)
    for port in (53, 123, 443):
        kind = socket.AF_INET6 if ':' in host else socket.AF_INET
        try:
            with socket.socket(kind, socket.SOCK_DGRAM) as datagram:
                if datagram.sendto(b'x', (host, port)): print('datagram to', host, port)
        except OSError: pass
try: print(socket.getaddrinfo('example.com', 80))
except OSError: pass
"""
    outcome = arena.python(code, timeout=13)
    if not arena.ground.has_namespaces and "datagram" in outcome.said:
        pytest.fail(f"datagrams leave a sandbox whose network is off: {outcome.said[:300]}")
    assert (outcome.said, outcome.ending) == ("", "ok")


@pytest.mark.parametrize("way", ["tunnel", "plain"])
def test_private_addresses_through_the_proxy(arena: Arena, way: str) -> None:
    if not arena.ground.has_namespaces:
        pytest.skip("without namespaces there is no proxy")
    with hidden_server() as port:
        wanted = [
            address.format(port=port) for address in (*PRIVATE, *(f"{name}:{{port}}" for name in NAMES_FOR_PRIVATE))
        ]
        template = (
            "CONNECT {0} HTTP/1.1\\r\\nHost: {0}\\r\\n\\r\\nGET / HTTP/1.0\\r\\n\\r\\n"
            if way == "tunnel"
            else "GET http://{0}/ HTTP/1.1\\r\\nHost: example.com\\r\\nConnection: close\\r\\n\\r\\n"
        )
        code = f"""{PROXY}
for address in {wanted!r}:
    answer = ask({template!r}.replace('\\\\r', '\\r').replace('\\\\n', '\\n').format(address))
    if {HIDDEN!r} in answer or answer.split(' ')[1:2] == ['200']: print(address, answer)
    elif not answer.startswith(('HTTP/1.1 403', 'HTTP/1.1 400', 'HTTP/1.1 502')): print('odd', address, answer)
"""
        outcome = arena.python(code, timeout=13)
        assert (outcome.said, outcome.ending) == ("", "ok")


def test_odd_requests_to_the_proxy(arena: Arena) -> None:
    """Requests that two readers could understand differently, or that carry a second one, do not reach the server."""
    if not arena.ground.has_namespaces:
        pytest.skip("without namespaces there is no proxy")
    with hidden_server() as port:
        heads = [
            f"GET http://example.com@127.0.0.1:{port}/ HTTP/1.1\r\nHost: a\r\n\r\n",
            f"GET http://127.0.0.1:{port}#@example.com/ HTTP/1.1\r\nHost: a\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
            f"GET http:/127.0.0.1:{port}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
            f"GET ftp://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n",
            "GET file:///etc/shadow HTTP/1.1\r\n\r\n",
            f"CONNECT 127.0.0.1:{port}:80 HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            f"CONNECT example.com:80@127.0.0.1:{port} HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            f"GET http://127.0.0.1%3a{port}/ HTTP/1.1\r\n\r\n",
            f"GET http://127.0.0.1\t:{port}/ HTTP/1.1\r\n\r\n",
            f"GET http://\uff11\uff12\uff17.0.0.1:{port}/ HTTP/1.1\r\n\r\n",
            "CONNECT 127.0.0.1:99999 HTTP/1.1\r\n\r\n",
            "\r\n" * 1000 + "\r\n\r\n",
            "A" * 100_000,
        ]
        code = f"""{PROXY}
for head in {heads!r}:
    try: answer = ask(head)
    except OSError: continue
    if {HIDDEN!r} in answer or ' 200 ' in answer[:20]: print(head, answer)
"""
        outcome = arena.python(code, timeout=13)
        assert (outcome.said, outcome.ending) == ("", "ok")


def test_a_sandbox_without_network_gets_no_answer_from_the_proxy(arena: Arena) -> None:
    if not arena.ground.has_namespaces:
        pytest.skip("without namespaces there is no proxy")
    offline = arena.ground.sandbox(templateName="offline")
    try:
        head = "CONNECT 1.1.1.1:443 HTTP/1.1\r\n\r\n"
        body = {"code": f"{PROXY}\nprint(ask({head!r})[:12])"}
        assert offline.call("POST", "contexts/execute", body).json()["results"][0]["text"] == "HTTP/1.1 403\n"
    finally:
        arena.ground.delete(offline)


# The emulator itself, which code inside may call


def _request(arena: Arena, method: str, path: str) -> str:
    code = f"""
import http.client
try:
    connection = http.client.HTTPConnection('127.0.0.1', {arena.ground.port}, timeout=5)
    connection.request({method!r}, {path!r})
    answer = connection.getresponse()
    print(answer.status, answer.read(300).decode())
except OSError as error: print('none', error)
"""
    return arena.python(code).said


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_emulator/reset?account=1"),
        ("GET", "/_emulator/journal"),
        ("GET", "/_emulator/status"),
        ("GET", "/_emulator/%6aournal"),
        ("GET", "//_emulator/journal"),
        ("GET", "http://127.0.0.1/_emulator/journal"),
    ],
)
def test_the_emulator_s_own_interface_is_closed_to_the_inside(arena: Arena, method: str, path: str) -> None:
    said = _request(arena, method, path)
    # Where nothing inside can connect it is not even refused.
    assert said.startswith(("403", "404") if arena.ground.has_namespaces else "none"), said
    assert "entries" not in said


def test_a_sandbox_cannot_act_as_another_account(arena: Arena) -> None:
    """The default secret stands in the package, which everybody inside can read: it must not open anything there."""
    code = f"""
import sys
sys.path[:0] = {json.dumps(str(arena.ground.directory))} and []
from datetime import datetime, timezone
import http.client
try:
    from agentrun._core import signing
    from agentrun._core.local import REGION
except ImportError:
    raise SystemExit
path, now = '/sandboxes/{arena.neighbour.id}', datetime.now(timezone.utc)
date = signing.timestamp(now)
day = date.replace('-', '')[:8]
host = '127.0.0.1:{arena.ground.port}'
headers = {{'host': host, 'x-acs-date': date, 'x-acs-content-sha256': signing.UNSIGNED_PAYLOAD}}
for key in ({arena.ground.account.key!r}, 'somebody-else', 'local'):
    signature = signing.sign_data({ACCESS_KEY_SECRET!r}, day, REGION, 'GET', path, '', headers, list(headers))
    scope = signing.data_scope(day, REGION)
    sent = {{**headers, signing.DATA_HEADER: signing.data_authorization(key, scope, list(headers), signature)}}
    try:
        connection = http.client.HTTPConnection(host, timeout=5)
        connection.request('GET', path, headers=sent)
        print(key, connection.getresponse().status)
    except OSError as error: print(key, 'none')
"""
    statuses = dict(line.split() for line in arena.python(code).said.splitlines() if line)
    # The account that has a secret of its own is closed; whoever only knows the default secret is not let in either.
    assert not {"200", "404"} & set(statuses.values()), statuses


def test_thousands_of_connections_from_inside(arena: Arena) -> None:
    """They are refused at some number; the emulator keeps descriptors for everybody else."""
    if not arena.ground.has_namespaces:
        pytest.skip("nothing listens inside")
    code = f"""
import os, socket, time
for _ in range(8):
    if not os.fork():
        kept = []
        for number in range(500):
            try: kept.append(socket.create_connection(('127.0.0.1', (3128, {arena.ground.port})[number % 2]), 1))
            except OSError: pass
        time.sleep(60)
        os._exit(0)
"""
    arena.request("POST", "files", {"path": "many.py", "content": code})
    arena.command("setsid timeout -s KILL 4 python3 many.py >/dev/null 2>&1 & sleep 1.5")
    with httpx.Client(base_url=arena.ground.account.client.base_url, timeout=5, trust_env=False) as newcomer:
        assert newcomer.get("/_emulator/health").status_code == 200
    other = arena.ground.sandbox()
    try:
        answer = other.call("POST", "contexts/execute", {"code": "1 + 1"})
        assert answer.json()["results"][0]["text"] == "2"
    finally:
        arena.ground.delete(other)
