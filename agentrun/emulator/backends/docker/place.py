"""The folder on the host that belongs to one sandbox."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from agentrun.emulator.backends.base import BackendError

USER = "user"
HOME = "/home/user"
# Each emulator has a block of user ids; engines take them up to 2**31.
FIRST_UID, UIDS, UIDS_OF_ONE = 500_000_000, 1_600_000_000, 4096


@dataclass(frozen=True)
class Place:
    """`inside` is shown to the sandbox, all else only to the engine and the emulator."""

    folder: Path
    uid: int

    @property
    def inside(self) -> Path:
        return self.folder / "inside"

    @property
    def socket(self) -> Path:
        """Where the socket of the sandbox's server is found once it has been taken."""
        return self.folder / "http"

    @property
    def egress(self) -> Path:
        return self.inside / "egress"

    @property
    def line(self) -> Path:
        """Where the sandbox's server finds the emulator to learn when that is gone."""
        return self.inside / "line"

    @property
    def accounts(self) -> dict[str, Path]:
        """Files of the sandbox's system that name its user, by their path in there."""
        return {f"/etc/{name}": self.folder / name for name in ("passwd", "group")}

    def layer(self, number: int, name: str) -> Path:
        """The folder `upper` or `work` of a copy-on-write mount."""
        return self.folder / f"mount-{number}" / name

    def make(self) -> None:
        """Make the folders; any user may write into `inside` until the socket has been taken."""
        self.folder.mkdir(mode=0o711)
        self.inside.mkdir()
        self.inside.chmod(0o777)
        user = f"{USER}:x:{self.uid}:{self.uid}::{HOME}:/bin/bash"
        self.accounts["/etc/passwd"].write_text(f"root:x:0:0:root:/root:/bin/sh\n{user}\n")
        self.accounts["/etc/group"].write_text(f"root:x:0:\n{USER}:x:{self.uid}:\n")
        for file in self.accounts.values():
            file.chmod(0o644)

    def take_socket(self) -> bool:
        """Move the server's socket out of the sandbox's reach and lock the folder; False while it is not there.

        Left where it is, code inside could put a link to any socket of the host in its place.
        """
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.inside / "http", self.socket)
            self.inside.chmod(0o755)
            if not stat.S_ISSOCK(self.socket.lstat().st_mode):
                raise BackendError("the sandbox made something else than a socket: its image cannot be trusted")
            return True
        return False

    def remove(self) -> None:
        """Remove everything that we may remove."""
        shutil.rmtree(self.folder, ignore_errors=True)


def own_uid(number: int) -> int:
    """A user id that no other living sandbox has."""
    return FIRST_UID + (os.getpid() * UIDS_OF_ONE + number % UIDS_OF_ONE) % UIDS
