"""A model proxy at work, live: 70 of 100 calls go to one endpoint and 30 to the other; then one of them dies.

On this machine:   agentrun emulator exec -- python examples/model_failover.py

Two providers are played by scripted models of their own. No call fails: the other endpoint answers at once, the dead
one is left out, and it is used again soon after it has come back.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from uuid import uuid4

from rich.console import Console
from rich.live import Live
from rich.table import Table

from agentrun import ModelProxy, ProxyConfig, ProxyConfigEndpoint
from agentrun.emulator import Emulator, Script

CALLS = 100
WIDTH = 20
console = Console()


def provider(name: str, port: int = 0) -> Emulator:
    """A provider that says who it is."""
    return Emulator(port, script=Script(default=f"This is {name}.")).start()


@contextmanager
def proxy_of(*providers: Emulator) -> Generator[ModelProxy]:
    """A proxy in front of two providers, which take 70 and 30 % of its calls."""
    endpoints = [
        ProxyConfigEndpoint(base_url=f"{each.url}/scripted/v1", model_names=["any"], weight=weight)
        for each, weight in zip(providers, (70, 30), strict=True)
    ]
    name = f"failover-{uuid4().hex[:8]}"
    proxy = ModelProxy.create(model_proxy_name=name, proxy_config=ProxyConfig(endpoints=endpoints))
    try:
        yield proxy.wait_until_ready(interval_seconds=0.1)
    finally:
        proxy.delete()


def picture(title: str, proxy: ModelProxy, before: list[int], failed: int) -> Table:
    """What the proxy has counted since `before`."""
    table = Table("endpoint", "answered", "", "failed attempts", "", title=title, title_justify="left")
    for endpoint, earlier in zip(proxy.stats().endpoints, before, strict=True):
        answered = endpoint.requests - earlier
        state = "[green]in[/]" if endpoint.healthy else "[red]left out[/]"
        bar = "█" * round(answered * WIDTH / CALLS)
        table.add_row(endpoint.name, str(answered), f"{bar:<{WIDTH}}", str(endpoint.errors), state)
    table.caption = f"calls that failed: {failed}"
    return table


def watch(title: str, proxy: ModelProxy) -> list[int]:
    """Call the proxy, show where the calls go, and return how many each endpoint has answered."""
    before = [endpoint.requests for endpoint in proxy.stats().endpoints]
    failed = 0
    with Live(picture(title, proxy, before, failed), console=console, auto_refresh=False) as live:
        for number in range(1, CALLS + 1):
            try:
                proxy.completion([{"role": "user", "content": f"Who are you? ({number})"}])
            except Exception as error:
                failed += 1
                console.print(f"[red]{error}[/]")
            if console.is_terminal or number == CALLS:
                live.update(picture(title, proxy, before, failed), refresh=True)
    console.print()
    return [endpoint.requests - earlier for endpoint, earlier in zip(proxy.stats().endpoints, before, strict=True)]


def main() -> None:
    """Two endpoints, then one, then two again."""
    steady, dying = provider("the first"), provider("the second")
    try:
        with proxy_of(steady, dying) as proxy:
            watch("Both endpoints are there: 70 and 30", proxy)
            dying.stop()
            watch("The second endpoint is dead", proxy)
            dying = provider("the second", dying.port)
            time.sleep(1)
            watch("The second endpoint is back", proxy)
    finally:
        steady.stop()
        dying.stop()


if __name__ == "__main__":
    main()
