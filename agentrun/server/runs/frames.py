"""The frames of a stream one by one, with the numbers by which a reader says what it has."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

_NUMBER = re.compile(rb'data: \{"sequence_number": ?(\d+)')


class Frame(NamedTuple):
    """One event of a stream; one that has no number of its own goes with the next that has one."""

    sequence: int
    data: bytes
    is_numbered: bool = True

    def told(self) -> bytes:
        """What is sent: the event, with its number where it has one."""
        return b"id: %d\n%b" % (self.sequence, self.data) if self.is_numbered else self.data


async def numbered(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[Frame, None]:
    """The frames of a stream of the Agent API, of which a chunk may hold several."""
    expected = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            for text in chunk.split(b"\n\n")[:-1]:
                found = _NUMBER.match(text)
                has_number = found is not None and int(found[1]) == expected
                yield Frame(expected, text + b"\n\n", has_number)
                expected += has_number
