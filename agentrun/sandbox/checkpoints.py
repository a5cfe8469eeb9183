"""Going back in a context: checkpoints, rollback, and copies that go on by themselves."""

from __future__ import annotations

from agentrun._core.api import segment
from agentrun._core.blocking import run
from agentrun._core.model import Model
from agentrun.sandbox.extensions import CHECKPOINT, ROLLBACK
from agentrun.sandbox.operations import Operations


class Checkpoint(Model):
    """A moment of a context that one can go back to: its variables, and the files below its folder."""

    checkpoint_id: str
    context_id: str | None = None
    created_at: str | None = None


class CheckpointOperations(Operations):
    """The checkpoints of the current context, of Python and its files."""

    def _path(self, below: str) -> str:
        raise NotImplementedError

    async def checkpoint_async(self) -> Checkpoint:
        """Remember the current context as it is now, its variables and the files below its folder.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return Checkpoint.from_wire(await self._api.ask("POST", self._path("/checkpoint"), extension=CHECKPOINT))

    def checkpoint(self) -> Checkpoint:
        """Remember the current context as it is now, its variables and the files below its folder.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.checkpoint_async())

    async def checkpoints_async(self) -> list[Checkpoint]:
        """The moments of the current context that one can go back to, the oldest first.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        found = await self._api.ask_list("GET", self._path("/checkpoints"), extension=CHECKPOINT)
        return [Checkpoint.from_wire(item) for item in found]

    def checkpoints(self) -> list[Checkpoint]:
        """The moments of the current context that one can go back to, the oldest first.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.checkpoints_async())

    async def rollback_async(self, checkpoint: str | Checkpoint) -> None:
        """Bring the current context back to a checkpoint, by its id or itself; it can be gone back to again.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        body = {"checkpointId": _id(checkpoint)}
        await self._api.ask("POST", self._path("/rollback"), body=body, extension=ROLLBACK)

    def rollback(self, checkpoint: str | Checkpoint) -> None:
        """Bring the current context back to a checkpoint, by its id or itself; it can be gone back to again.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        run(self.rollback_async(checkpoint))

    async def delete_checkpoint_async(self, checkpoint: str | Checkpoint) -> None:
        """Forget a checkpoint, which frees what it holds.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        path = self._path(f"/checkpoints/{segment(_id(checkpoint))}")
        await self._api.ask_any("DELETE", path, extension=CHECKPOINT)

    def delete_checkpoint(self, checkpoint: str | Checkpoint) -> None:
        """Forget a checkpoint, which frees what it holds.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        run(self.delete_checkpoint_async(checkpoint))


def _id(checkpoint: str | Checkpoint) -> str:
    return checkpoint.checkpoint_id if isinstance(checkpoint, Checkpoint) else checkpoint
