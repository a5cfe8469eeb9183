from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agentrun.emulator.backends.base import BackendError, Mount, SandboxSpec
from agentrun.emulator.backends.docker import DockerBackend
from agentrun.emulator.backends.docker.changes import describe
from agentrun.emulator.backends.docker.place import Place
from tests.emulator.backends.docker.conftest import shell, started

in_module_loop = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "kept.txt").write_text("kept\n")
    (folder / "changed.txt").write_text("one\ntwo\nthree\n")
    (folder / "sub" / "deleted.txt").write_text("bye\n")
    (folder / "picture.bin").write_bytes(b"\0\1\2")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def entries(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@in_module_loop
async def test_a_read_only_mount_is_seen_and_not_written(backend: DockerBackend, source: Path) -> None:
    running = await started(backend, SandboxSpec("ro", mounts=(Mount(source, "/mnt/data"),)))
    try:
        assert await shell(running, "cat /mnt/data/kept.txt") == "kept\n"
        assert "Read-only" in await shell(running, "echo x > /mnt/data/new")
        with pytest.raises(BackendError, match="no copy-on-write mount"):
            await running.patch("/mnt/data")
    finally:
        await running.stop()


@in_module_loop
async def test_changes_stay_in_the_sandbox_and_make_a_patch(
    backend: DockerBackend, source: Path, run_directory: Path
) -> None:
    before, left = contents(source), entries(run_directory)
    running = await started(backend, SandboxSpec("cow", mounts=(Mount(source, "/mnt/data", copy_on_write=True),)))
    try:
        assert await running.patch("/mnt/data") == ""
        done = await shell(
            running,
            "cd /mnt/data && sed -i s/two/2/ changed.txt && rm -r sub && printf 'no end' > new.txt && "
            "printf '\\0' >> picture.bin && chmod +x kept.txt && ln -s kept.txt link && echo done",
        )
        assert done == "done\n"
        patch = await running.patch("/mnt/data")
    finally:
        await running.stop()
    assert contents(source) == before
    assert "-two\n+2\n" in patch
    assert "deleted file mode 100644\n--- a/sub/deleted.txt\n" in patch
    assert "Binary files a/picture.bin and b/picture.bin differ\n" in patch
    assert "old mode 100644\nnew mode 100755\n" in patch
    assert entries(run_directory) == left
    assert backend.engine.volumes(f"agentrun.instance={backend.owner.nonce}") == []


@in_module_loop
async def test_a_source_that_is_missing_is_named(backend: DockerBackend, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="does not exist"):
        await backend.start_sandbox(SandboxSpec("x", mounts=(Mount(tmp_path / "absent", "/mnt/data"),)))


def test_a_link_in_the_upper_folder_shows_nothing_of_the_host(source: Path, tmp_path: Path) -> None:
    secret, upper = tmp_path / "secret", tmp_path / "upper"
    secret.mkdir()
    (secret / "key").write_text("hidden\n")
    upper.mkdir()
    (upper / "sub").symlink_to(secret)
    os.mkfifo(upper / "pipe")
    patch = describe(source, upper)
    assert "hidden" not in patch
    assert f"+{secret}\n" in patch
    assert "pipe" in patch


def test_a_link_in_place_of_the_socket_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path / "p", 12345)
    place.make()
    assert place.take_socket() is False
    (place.inside / "http").symlink_to("/var/run/docker.sock")
    with pytest.raises(BackendError, match="something else than a socket"):
        place.take_socket()
    assert place.inside.stat().st_mode & 0o777 == 0o755
    place.remove()
    assert not place.folder.exists()


def test_a_patch_can_be_applied(source: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "changed.txt").write_text("one\n2\nthree")
    (upper / "kept.txt").write_text("kept\n")
    (upper / "new.txt").write_text("new\n")
    patch = describe(source, upper)
    assert "kept.txt" not in patch
    subprocess.run(["git", "apply", "-p1", "-"], input=patch, text=True, cwd=source, check=True)
    assert contents(source)["changed.txt"] == b"one\n2\nthree"
    assert contents(source)["new.txt"] == b"new\n"
