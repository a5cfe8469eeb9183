"""Code that looks at, or does something to, the machine around it and the sandboxes beside it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.emulator.hostile.arena import Arena
from tests.emulator.hostile.grounds import ORDINARY_USER, ROOT, SECRET
from tests.emulator.hostile.inventory import alive_in


@pytest.fixture
def bystander() -> Generator[subprocess.Popen[bytes]]:
    """A process of the host, of the user that sandboxes of an ordinary user have, with a secret in its environment."""
    user = ORDINARY_USER if os.geteuid() == 0 else None
    process = subprocess.Popen(["sleep", "60"], env={"PATH": os.defpath, "BYSTANDER": SECRET}, user=user, group=user)
    yield process
    process.kill()
    process.wait()


def test_the_emulator_s_own_files(arena: Arena) -> None:
    ground = arena.ground
    for path in (
        ground.state,
        ground.state / "vault.key",
        ground.directory,
        ground.directory / "listen",
        ROOT / "tests",
    ):
        assert arena.said(f"ls {path}/ 2>/dev/null; cat {path} 2>/dev/null; true") == "", path
        assert arena.request("GET", "filesystem", path=str(path)).status_code >= 400
    if ground.name != "docker":
        assert (ROOT / "tests").exists()
        assert ground.state.exists()


def test_environments_and_memory_hold_no_secret(arena: Arena, bystander: subprocess.Popen[bytes]) -> None:
    """Nothing of the emulator's environment, and nothing it knows, is in what interpreters were forked from."""
    assert SECRET.encode() in Path(f"/proc/{bystander.pid}/environ").read_bytes()
    # Written backwards, so that the secret is not in memory because it is looked for.
    code = f"""
import glob, os
wanted = {SECRET[::-1]!r}.encode()
found = []
for path in glob.glob('/proc/[0-9]*/environ'):
    try:
        if wanted in open(path, 'rb').read()[::-1]: found.append(path)
    except OSError: pass
if wanted in os.fsencode(repr(dict(os.environ)))[::-1]: found.append('environ')
for line in open('/proc/self/maps'):
    addresses, rights, *_ = line.split()
    if not rights.startswith('rw') or '[v' in line: continue
    start, end = (int(number, 16) for number in addresses.split('-'))
    tail = b''
    with open('/proc/self/mem', 'rb', 0) as memory:
        # In pieces, with the end of the last one before each: one region may be larger than what code here may have.
        for at in range(start, end, 1 << 20):
            try:
                memory.seek(at)
                data = tail + (memory.read(min(1 << 20, end - at)) or b'')
            except OSError:
                break
            if wanted in data[::-1]:
                found.append(line)
                break
            tail = data[-len(wanted):]
print(found)
"""
    assert arena.python(code).said == "[]"


def test_code_finds_neither_sockets_nor_folders_of_its_launcher(arena: Arena) -> None:
    """Of what an interpreter inherits only its own control socket is a socket, and no descriptor is a folder."""
    code = """
import os, stat
kinds = []
for name in os.listdir('/proc/self/fd'):
    try: mode = os.fstat(int(name)).st_mode
    except OSError: continue
    kinds.append('socket' if stat.S_ISSOCK(mode) else 'folder' if stat.S_ISDIR(mode) else 'other')
print(kinds.count('socket'), kinds.count('folder'))
"""
    assert arena.python(code).said == "1 0"
    command = "import os; print([os.readlink('/proc/self/fd/' + n) for n in '012'], len(os.listdir('/proc/self/fd')))"
    said = arena.said(f'python3 -c "{command}"')
    assert "socket" not in said, said
    assert int(said.split()[-1]) <= 4, said


def test_processes_of_the_host_are_out_of_reach(arena: Arena, bystander: subprocess.Popen[bytes]) -> None:
    code = f"""
import os, signal
for pid in ({bystander.pid}, {arena.ground.pid}, {os.getpid()}):
    for number in (0, signal.SIGCONT, signal.SIGKILL):
        try: os.kill(pid, number)
        except OSError: continue
        if not os.path.exists(f'/proc/{{pid}}/status') or number == signal.SIGKILL: print(pid, number)
    for name in ('environ', 'mem', 'maps', 'fd/0', 'cwd/', 'root/'):
        try: print(pid, name, os.stat(f'/proc/{{pid}}/{{name}}') and open(f'/proc/{{pid}}/{{name}}').read(1))
        except OSError: pass
"""
    if arena.ground.has_namespaces:
        code = code.replace(f"({bystander.pid}, {arena.ground.pid}, {os.getpid()})", "range(100_000, 100_000)")
        assert len(arena.said("ls -d /proc/[0-9]*").split()) < 20
        assert (
            not Path(f"/proc/{bystander.pid}/ns").exists() or arena.said(f"cat /proc/{bystander.pid}/comm") != "sleep\n"
        )
    outcome = arena.python(code)
    assert (outcome.said, outcome.ending) == ("", "ok")
    assert bystander.poll() is None


def test_killing_everything_reaches_only_itself(arena: Arena, bystander: subprocess.Popen[bytes]) -> None:
    command = "kill -9 -1; for name in KILL STOP TERM INT HUP SEGV; do kill -$name 1; done"
    answer = arena.request("POST", "processes/cmd", {"command": command, "timeout": 3})
    # Without namespaces the agent is one of those that are killed, and the sandbox with it.
    assert answer.status_code in ((200,) if arena.ground.has_namespaces else (200, 410)), answer.text
    assert bystander.poll() is None
    os.kill(arena.ground.pid, 0)
    if arena.ground.has_namespaces:
        assert arena.still_works()


def test_setuid_gives_nothing(arena: Arena) -> None:
    arena.command("cp /bin/bash /tmp/sh 2>/dev/null || cp /bin/bash ~/sh; chmod 6755 /tmp/sh ~/sh")
    inside = "id -u; id -ru; /tmp/sh -p -c 'id -u; id -ru' 2>/dev/null || ~/sh -p -c 'id -u; id -ru'"
    assert len(set(arena.said(inside).split())) == 1
    said = arena.said(
        "sudo -n id -u 2>/dev/null; su -c 'id -u' </dev/null 2>/dev/null; passwd -S root 2>/dev/null; true", 3
    )
    assert "0\n" not in said
    assert arena.said("grep -E 'NoNewPrivs|CapEff|CapPrm|CapInh|CapAmb' /proc/self/status").split() == [
        "CapInh:", "0" * 16, "CapPrm:", "0" * 16, "CapEff:", "0" * 16, "CapAmb:", "0" * 16, "NoNewPrivs:", "1",
    ]  # fmt: skip


def test_the_bounding_set_is_empty(arena: Arena) -> None:
    if arena.ground.level not in ("namespaces+uid", "namespaces+uid+cgroup", "container"):
        pytest.skip("only a privileged launcher can empty it")
    assert int(arena.said("grep CapBnd /proc/self/status").split()[1], 16) == 0


def test_other_users_cannot_be_become(arena: Arena) -> None:
    code = """
import os
for user in (0, 1, 1000, 200_000, 65534):
    for become in (os.setuid, os.seteuid, os.setgid, lambda group: os.setgroups([group])):
        try:
            if user != os.getuid(): become(user); print('became', user, become)
        except OSError: pass
"""
    assert "became" not in arena.python(code).said


def test_device_nodes(arena: Arena) -> None:
    said = arena.said(
        "for d in /tmp ~ /dev/shm; do mknod $d/disk b 8 0; mknod $d/mem c 1 1; done 2>/dev/null; ls /tmp ~ /dev/shm"
    )
    assert "disk" not in said
    assert "mem" not in said
    allowed = {
        "console",
        "core",
        "fd",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
    }
    if arena.ground.has_namespaces:
        assert set(arena.said("ls /dev").split()) <= allowed | {"tty", "urandom", "zero"}


def test_the_namespace_ends_with_the_sandbox(arena: Arena) -> None:
    if not arena.ground.has_namespaces:
        pytest.skip("there are no namespaces")
    namespace = arena.said("readlink /proc/self/ns/pid").strip()
    arena.command("setsid sleep 1000 >/dev/null 2>&1 & (setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 &)")
    assert len(alive_in(namespace)) >= 3
    arena.ground.delete(arena.attacker)
    assert alive_in(namespace) == []


def test_what_a_neighbour_has_is_out_of_reach(arena: Arena) -> None:
    answer = arena.neighbour.call("POST", "processes/cmd", {"command": "realpath ~; echo ~+; ls /proc | head -1"})
    home = answer.json()["result"]["stdout"].split()[0]
    arena.neighbour.call(
        "POST", "processes/cmd", {"command": "echo mine >/tmp/mine; echo mine >/dev/shm/mine 2>/dev/null"}
    )
    assert arena.said("cat ~/private.txt /tmp/mine 2>/dev/null; true") == ""
    if not arena.ground.has_namespaces:
        assert (
            arena.said(f"cat {home}/private.txt {home}/../*/* 2>/dev/null; ls {home}/.. {home} 2>/dev/null; true") == ""
        )
        return
    assert arena.said("cat /dev/shm/mine 2>/dev/null; true") == ""


def test_abstract_sockets_and_queues_are_not_shared(arena: Arena) -> None:
    serve = (
        "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\\0hostile'); s.listen(); "
        "print('up', flush=True); time.sleep(0.8)"
    )
    arena.neighbour.call(
        "POST", "processes/cmd", {"command": f'(setsid python3 -c "{serve}" >/tmp/up 2>&1 &) ; sleep 0.4'}
    )
    host = subprocess.Popen(
        ["python3", "-c", serve.replace("hostile", "hostile-host")], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert host.stdout is not None
        assert host.stdout.readline()
        code = """
import socket
for name in ('hostile', 'hostile-host'):
    try:
        socket.socket(socket.AF_UNIX).connect('\\0' + name)
        print('connected to', name)
    except OSError: pass
"""
        assert arena.python(code).said == ""
    finally:
        host.send_signal(signal.SIGKILL)
        host.wait()
        if host.stdout is not None:
            host.stdout.close()


def test_unix_sockets_of_the_host_are_out_of_reach(arena: Arena) -> None:
    """Neither the neighbour's agent nor the emulator nor what else listens on this machine can be connected to."""
    paths = [str(path) for path in arena.ground.directory.rglob("*") if path.is_socket()]
    assert paths or arena.ground.name == "docker"
    candidates = [*paths, "/run/docker.sock", "/run/dbus/system_bus_socket", f"/run/user/{os.getuid()}/bus"]
    own = arena.said("echo $HOME").strip()
    code = f"""
import socket
for path in {candidates!r}:
    if path.removesuffix('.home') != {own!r}.removesuffix('.home'):
        try:
            socket.socket(socket.AF_UNIX).connect(path)
            print('connected to', path)
        except OSError: pass
"""
    assert arena.python(code).said == ""
