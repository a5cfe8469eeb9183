from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from agentrun.emulator.backends import trust
from agentrun.emulator.backends.base import BackendError
from agentrun.emulator.backends.docker import host_settings, images
from agentrun.emulator.backends.docker.engine import Engine, connect

ONE_LINE = """# comment
deb http://mirror.example/debian bookworm main
deb http://other.example/apt stable main
"""
STANZAS = """Types: deb
URIs: http://user:secret@mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://third.example
Suites: nodistro
Components: main
"""


def test_only_sources_of_the_release_are_taken(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d" / "debian.sources").write_text(STANZAS)
    found = host_settings.apt_sources("bookworm", tmp_path)
    assert found["host.list"] == "deb http://mirror.example/debian bookworm main\n"
    assert "bookworm-updates" in found["host.sources"]
    assert "third.example" not in found["host.sources"]
    assert host_settings.apt_sources("sid", tmp_path) == {}


def test_pip_settings_follow_files_then_variables(tmp_path: Path) -> None:
    first, second = tmp_path / "a.conf", tmp_path / "b.conf"
    first.write_text("[global]\nindex-url = https://one.example/simple\ncert = /etc/ca.pem\nretries = 7\n")
    second.write_text("[install]\nextra-index-url = file:///srv/simple https://two.example/simple\n")
    settings = host_settings.pip_settings({"PIP_INDEX_URL": "https://three.example/simple"}, [first, second])
    assert settings == (
        "[global]\nindex-url = https://three.example/simple\n"
        "extra-index-url = https://two.example/simple\nretries = 7\n"
    )
    assert host_settings.pip_settings({}, []) == "[global]\n"


def test_the_certificates_named_first_are_taken(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("x")
    assert trust.certificates({"PIP_CERT": str(bundle)}) == bundle
    assert trust.certificates({"PIP_CERT": str(tmp_path / "absent"), "SSL_CERT_FILE": str(bundle)}) == bundle


def test_an_image_of_another_version_is_noticed(engine: Engine, tmp_path: Path) -> None:
    archive, name = tmp_path / "system.tar", "agentrun-test/stale:latest"
    with tarfile.open(archive, "w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(BackendError, match="is missing: run `agentrun emulator images build`"):
        images.check_contents(engine, name, "new")
    engine.import_file(archive, name, [f"LABEL {images.CONTENTS}=old"])
    try:
        with pytest.raises(BackendError, match="another version of agentrun: run `agentrun emulator images build`"):
            images.check_contents(engine, name, "new")
        images.check_contents(engine, name, "old")
    finally:
        engine.remove_image(name)


def test_what_is_current_is_not_built_again(engine: Engine, image: str) -> None:
    told: list[str] = []
    assert images.Builder(engine, told.append).build() == image
    assert [line.rpartition(" ")[0] for line in told if line.endswith("is current")] == [
        line.rpartition(" ")[0] for line in told
    ]
    assert {found.name: found.current for found in images.built(engine)}[image] is True
    assert images.check(engine) == image


def test_no_stage_that_saw_the_settings_of_this_machine_is_kept(engine: Engine, image: str) -> None:
    assert engine.images(images.STAGE) == []
    with pytest.raises(BackendError, match="choose one of code-interpreter"):
        images.Builder(engine, print, "browser")


def test_an_engine_elsewhere_or_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    with pytest.raises(BackendError, match="not on this machine"):
        connect()
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(BackendError, match=r"no container engine answers at .*apt-get install docker.io"):
        connect()
