"""What must be given back: by `close`, by a context manager of either mode, or else at the end of the process."""

from __future__ import annotations

import atexit
import logging
import weakref
from types import TracebackType
from typing import TYPE_CHECKING

from agentrun._core.blocking import run
from agentrun.errors import AgentRunError

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger("agentrun")


class Closing:
    """Something with a `close_async` of its own; the other ways to close it follow from that."""

    async def close_async(self) -> None:
        """Give back what is held; calling it twice is allowed."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what is held; calling it twice is allowed."""
        run(self.close_async())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close_async()
        except AgentRunError as problem:
            if error is None:
                raise
            log.warning("%s could not be closed: %s", type(self).__name__, problem)

    def __enter__(self) -> Self:
        return run(self.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run(self.__aexit__(kind, error, trace))


_open: weakref.WeakSet[Closing] = weakref.WeakSet()


def close_at_exit(held: Closing) -> None:
    """Close it at the end of the process, unless it is gone by then; whatever was closed before is closed twice."""
    if not _open:
        atexit.register(_close_all)
    _open.add(held)


def _close_all() -> None:
    for held in list(_open):
        try:
            held.close()
        except Exception as problem:  # Nobody is left to handle it, and the others must be closed too.
            log.warning("%s could not be closed: %s", type(held).__name__, problem)
    _open.clear()
