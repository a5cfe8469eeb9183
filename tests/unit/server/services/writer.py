"""A process that writes to a session which others write to as well: URL, name and count are its arguments."""

from __future__ import annotations

import asyncio
import sys

from agentrun.server import services


async def write(url: str, name: str, count: int) -> None:
    in_redis = url.startswith("unix:")
    sessions = (services.RedisSessionHistoryService if in_redis else services.SqlSessionHistoryService)(url)
    states = (services.RedisStateService if in_redis else services.SqlStateService)(url)
    print("ready", flush=True)
    sys.stdin.readline()
    async with sessions, states:
        session = await sessions.create_session("user", "session")
        for n in range(count):
            await sessions.append_message(session, {"content": f"{name}-{n}"})
            print(await states.save_state("user", {"by": name, "n": n}), flush=True)


asyncio.run(write(sys.argv[1], sys.argv[2], int(sys.argv[3])))
