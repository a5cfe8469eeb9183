"""`agentrun gateway`: the gateway of models on its own, without an emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentrun.cli.output import CommandError, show

DEFAULT_PORT = 4600
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def gateway(
    config: Annotated[Path, typer.Option("--config", "-c", help="The YAML file with services, proxies and keys.")],
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = DEFAULT_PORT,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
    check: Annotated[bool, typer.Option("--check", help="Only check the file.")] = False,
    no_keys: Annotated[bool, typer.Option("--no-keys", help="Let everybody in who reaches the port.")] = False,
) -> None:
    """Serve an OpenAI-compatible endpoint in front of many models: routing, failover, limits, budgets, cache.

    With several workers, limits and budgets need Redis (AGENTRUN_REDIS_URL). Ctrl-C ends it when the calls under way
    have been answered, after half a minute at the latest.
    """
    try:
        from agentrun.gateway import serving  # its server, which no other command needs
    except ModuleNotFoundError as error:
        raise CommandError(f"the gateway needs {error.name}: pip install 'agentrun[gateway]'") from error
    try:
        file = serving.load(config)
        serving.application(file)
        serving.check_workers(file, workers)
    except serving.GatewayFileError as error:
        raise CommandError(str(error)) from error
    if not file.keys and host not in _LOOPBACK and not no_keys:
        raise CommandError(f"{config} has no keys, and {host} is not loopback: add `keys`, or say --no-keys")
    if check:
        show(f"{config} is good: {_summary(len(file.proxies), len(file.services), len(file.keys))}")
        return
    show(f"The gateway serves {', '.join(file.proxies)} at http://{host}:{port}/v1", "bold")
    show("Metrics at /metrics; Ctrl-C stops it")
    serving.serve(config, host, port, workers)


def _summary(proxies: int, services: int, keys: int) -> str:
    counts = ((proxies, "proxy", "proxies"), (services, "service", "services"), (keys, "key", "keys"))
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts)
