"""The ways out of a sandbox, which its network policy opens and closes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from agentrun.emulator.backends.base import NetworkPolicy, NotCapable
from agentrun.emulator.backends.docker.engine import Engine
from agentrun.emulator.backends.docker.place import Place
from agentrun.emulator.backends.egress import EgressProxy
from agentrun.emulator.backends.injection.placeholders import Injection

Network = Callable[[], Awaitable[str]]


class Exit(Protocol):
    """The way out of one sandbox."""

    async def allow(self, policy: NetworkPolicy) -> None:
        """From now on only what this policy allows."""
        ...

    async def close(self) -> None:
        """Let nothing out any more."""
        ...


class ProxyExit:
    """A socket of the egress proxy in the folder of a sandbox, which has no other way."""

    def __init__(self, proxy: EgressProxy, policy: NetworkPolicy, injection: Injection | None = None) -> None:
        self._proxy = proxy
        self._policy = policy
        self._injection = injection
        self._end: Callable[[], None] | None = None

    async def open(self, place: Place) -> None:
        """Listen in the sandbox's folder."""
        self._end = await self._proxy.listen(place.egress, self.policy, self._injection)

    def policy(self) -> NetworkPolicy:
        """What holds now."""
        return self._policy

    async def allow(self, policy: NetworkPolicy) -> None:
        self._policy = policy
        self._proxy.recheck()

    async def close(self) -> None:
        if self._end:
            self._end()
            self._end = None


class BridgeExit:
    """A second network with a way out, which a container of the user's own image joins and leaves."""

    def __init__(self, engine: Engine, container: str, network: Network) -> None:
        self._engine = engine
        self._container = container
        self._network = network
        self._joined = False
        self._turn = asyncio.Lock()

    async def allow(self, policy: NetworkPolicy) -> None:
        check_mode(policy)
        async with self._turn:
            wanted = policy.mode == "on"
            if wanted == self._joined:
                return
            network = await self._network()
            change = self._engine.connect if wanted else self._engine.disconnect
            await self._engine.run(lambda: change(self._container, network))
            self._joined = wanted

    async def close(self) -> None:
        return


def check_mode(policy: NetworkPolicy) -> None:
    """NotCapable for what a network of the engine cannot do."""
    if policy.mode == "allow-list":
        raise NotCapable(
            "a custom image has no proxy inside, so its network is on or off: choose one of these, or a template of "
            "type CodeInterpreter"
        )
