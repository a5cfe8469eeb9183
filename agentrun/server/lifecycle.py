"""What begins and ends, and may be used in `async with`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any

from typing_extensions import Self


class Startable(ABC):
    """Something that is started before it is used, and stopped behind."""

    @abstractmethod
    async def start(self) -> Any:
        """Get ready."""

    @abstractmethod
    async def stop(self) -> None:
        """Put away what is held."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
