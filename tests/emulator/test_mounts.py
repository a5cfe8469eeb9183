"""Folders of the host inside sandboxes: only shared ones, wherever links and dots lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentrun.emulator import choices, daemon
from agentrun.emulator.backends.base import Mount
from agentrun.emulator.mounts import MountRequest, Mounts
from agentrun.emulator.wire.envelope import ServiceError
from tests.emulator.sandboxes import ALICE, World


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that an emulator shares, with a folder in it, beside one that it does not."""
    for folder in ("shared/data/inner", "shared-not/data", "secret"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "shared" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "shared" / "loop").symlink_to(tmp_path / "shared" / "data")
    return tmp_path / "shared"


def world(shared: Path) -> World:
    made = World(mounts=Mounts([shared], shared.parent / "storage"))
    made.template()
    return made


def mount(source: Path | str, target: str = "/mnt/data", **more: str) -> dict[str, str]:
    return {"source": str(source), "target": target, **more}


async def mounted(made: World, **body: Any) -> tuple[Mount, ...]:
    await made.create(**body)
    return made.backend.started[-1].spec.mounts


@pytest.mark.asyncio
async def test_a_shared_folder_is_mounted(shared: Path) -> None:
    made = world(shared)
    found = await mounted(
        made,
        mounts=[mount(shared / "data"), mount(shared / "data" / "inner", "/home/user/w/", mode="copy-on-write")],
    )
    assert found == (
        Mount(shared / "data", "/mnt/data"),
        Mount(shared / "data" / "inner", "/home/user/w", copy_on_write=True),
    )
    assert await mounted(made, mounts=[mount(shared)]) == (Mount(shared, "/mnt/data"),)
    assert await mounted(made, mounts=[mount(shared / "loop")]) == (Mount(shared / "data", "/mnt/data"),)


@pytest.mark.parametrize(
    "source",
    ["/", "/etc", "{0}/..", "{0}/../secret", "{0}/out", "{0}/loop/../../secret", "{0}-not/data", "{0}/../shared-not"],
)
def test_what_is_not_shared_is_refused(shared: Path, source: str) -> None:
    with pytest.raises(ServiceError, match="is not below a folder that this emulator shares") as caught:
        Mounts([shared]).shared([MountRequest(source.format(shared), "/mnt")])
    assert caught.value.status == 403
    assert "--mount-root" in caught.value.message


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (MountRequest("data", "/mnt"), "must be an absolute path"),
        (MountRequest("{0}/none", "/mnt"), "is not a folder"),
        (MountRequest("{0}/data", "mnt"), "must be an absolute path"),
        (MountRequest("{0}/data", "/mnt/../etc"), r"without \.\."),
        (MountRequest("{0}/data", "/"), "the sandbox's own system"),
        (MountRequest("{0}/data", "//proc"), "the sandbox's own system"),
        (MountRequest("{0}/data", "/usr/lib/x"), "the sandbox's own system"),
        (MountRequest("{0}/data", "/mnt/a\0b"), "must be a path"),
        (MountRequest("{0}/data", "/mnt", "write"), "read-only, copy-on-write"),
    ],
)
def test_what_cannot_be_mounted(shared: Path, request_: MountRequest, message: str) -> None:
    given = MountRequest(request_.source.format(shared), request_.target, request_.mode)
    with pytest.raises(ServiceError, match=message) as caught:
        Mounts([shared]).shared([given])
    assert caught.value.status == 400


@pytest.mark.asyncio
@pytest.mark.parametrize("second", ["/mnt/data", "/mnt/data/deeper", "/mnt"])
async def test_mounts_do_not_overlap(shared: Path, second: str) -> None:
    made = world(shared)
    wanted = [mount(shared / "data"), mount(shared / "data", "/mnt/data-2"), mount(shared, second)]
    with pytest.raises(ServiceError, match="overlap"):
        await made.create(mounts=wanted)


@pytest.mark.asyncio
async def test_a_backend_without_mounts_says_so(shared: Path) -> None:
    made = world(shared)
    made.backend.capabilities = frozenset()
    with pytest.raises(ServiceError, match="has no mounts") as caught:
        await made.create(mounts=[mount(shared / "data")])
    assert caught.value.status == 501


# Storage


@pytest.mark.asyncio
async def test_storage_is_local_folders(shared: Path) -> None:
    made = world(shared)
    buckets = [{"bucketName": "b2", "prefix": "p/", "mountPoint": "/mnt/b2", "permission": "READ_ONLY"}]
    made.template("stored", ossConfiguration=buckets)
    found = await mounted(
        made,
        templateName="stored",
        nasConfig={"mountPoints": [{"serverAddr": "x.cn.nas.example:/vol/a", "mountDir": "/mnt/nas"}]},
        ossMountConfig={"mountPoints": [{"bucketName": "b1", "bucketPath": "/in", "mountDir": "/mnt/b1"}]},
        polarFsConfig={"mountPoints": [{"instanceId": "pfs-1", "remoteDir": "/r", "mountDir": "/mnt/pfs"}]},
    )
    storage = shared.parent / "storage"
    assert set(found) == {
        Mount(storage / "nas" / "x.cn.nas.example" / "vol" / "a", "/mnt/nas", copy_on_write=True),
        Mount(storage / "oss" / "b1" / "in", "/mnt/b1", copy_on_write=True),
        Mount(storage / "oss" / "b2" / "p", "/mnt/b2"),
        Mount(storage / "polarfs" / "pfs-1" / "r", "/mnt/pfs", copy_on_write=True),
    }
    assert all(one.source.is_dir() for one in found)


@pytest.mark.parametrize("address", ["x:/../../etc", "..:/a", "x:/a/../../../b", "", "a b:/", "/etc", "-x:/a"])
def test_storage_stays_in_its_folder(tmp_path: Path, address: str) -> None:
    document = {"nasConfig": {"mountPoints": [{"serverAddr": address, "mountDir": "/mnt"}]}}
    with pytest.raises(ServiceError) as caught:
        Mounts(storage=tmp_path).stored(document)
    assert caught.value.status == 400
    assert not list(tmp_path.iterdir())


def test_a_link_in_the_storage_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "oss").mkdir()
    (tmp_path / "oss" / "b").symlink_to("/etc")
    document = {"ossMountConfig": {"mountPoints": [{"bucketName": "b", "mountDir": "/mnt"}]}}
    with pytest.raises(ServiceError, match="leads out") as caught:
        Mounts(storage=tmp_path).stored(document)
    assert caught.value.status == 403


def test_a_configuration_without_mount_points_mounts_nothing(tmp_path: Path) -> None:
    assert Mounts(storage=tmp_path).stored({"nasConfig": {"userId": 1}, "ossMountConfig": None}) == []


# Patches


@pytest.mark.asyncio
async def test_a_patch_is_of_a_copy_on_write_mount(shared: Path) -> None:
    made = world(shared)
    source = shared / "data"
    both = [mount(source, "/mnt/a"), mount(source, "/mnt/b", mode="copy-on-write")]
    sandbox_id = (await made.create(mounts=both))["sandboxId"]
    assert await made.do("GET", sandbox_id, "patch", mount="/mnt/b") == {"patch": "--- /mnt/b\n"}
    assert await made.do("GET", sandbox_id, "patch") == {"patch": "--- /mnt/b\n"}
    for target in ("/mnt/a", "/etc"):
        with pytest.raises(ServiceError, match="there are /mnt/b"):
            await made.do("GET", sandbox_id, "patch", mount=target)
    plain = (await made.create(ALICE))["sandboxId"]
    with pytest.raises(ServiceError, match="it has none"):
        await made.do("GET", plain, "patch", mount="/mnt/b")


# What is said on the command line


def test_what_is_shared_is_said_on_the_command_line(shared: Path) -> None:
    said = choices.Choices(mount_root=(str(shared), "/tmp"), allow_network=("pypi.org", "10.0.0.0/8"))
    settings = daemon.settings_of(said)
    assert settings.mount_roots == (shared, Path("/tmp"))
    assert settings.network is not None
    assert [rule.domain or rule.cidr for rule in settings.network.allow] == ["pypi.org", "10.0.0.0/8"]
    assert said.arguments() == [
        f"--mount-root={shared}",
        "--mount-root=/tmp",
        "--allow-network=pypi.org",
        "--allow-network=10.0.0.0/8",
    ]


def test_what_cannot_be_shared_is_told(tmp_path: Path) -> None:
    with pytest.raises(choices.ChoiceError, match=r"--mount-root .* is not a folder"):
        daemon.settings_of(choices.Choices(mount_root=(str(tmp_path / "none"),)))
    with pytest.raises(choices.ChoiceError, match=r"--allow-network: .*must be a name"):
        daemon.settings_of(choices.Choices(allow_network=("not a name",)))
