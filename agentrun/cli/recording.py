"""`agentrun emulator record` and `receipt`: model calls kept in a file, and the word on what has served them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from agentrun.cli import processes
from agentrun.cli.execute import execute
from agentrun.cli.options import PortOption, with_choices
from agentrun.cli.output import CommandError, tell
from agentrun.cli.running import ask, find
from agentrun.emulator.choices import Choices
from agentrun.gateway.recording.receipt import Receipt

_PROVIDER_URL = "https://api.openai.com/v1"


@with_choices
def record(
    choices: Choices,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="What to run.")],
    out: Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)],
    model: Annotated[
        Optional[list[str]],  # noqa: UP045  # typer before 0.13 does not read `list[str] | None`
        typer.Option(help="A model of the provider that may be called; may be repeated. Without it, every one."),
    ] = None,
    base_url: Annotated[
        str, typer.Option(envvar="OPENAI_BASE_URL", help="Where the provider is, as OpenAI clients name it.")
    ] = _PROVIDER_URL,
    api_key_env: Annotated[
        str, typer.Option(metavar="NAME", help="The variable that holds the provider's key; empty when it needs none.")
    ] = "OPENAI_API_KEY",
    service: Annotated[str, typer.Option(help="Take the provider from this service of a gateway's file.")] = "",
    gateway: Annotated[Path, typer.Option(help="The gateway's file.", dir_okay=False)] = Path("gateway.yaml"),
    redact: Annotated[str, typer.Option(help="What to remove beside secrets: email, phone or email,phone.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Run a command against an emulator that sends its model calls to a real provider, and keeps them in a file.

    Keys are not written down. The exit status is the command's.
    """
    if choices.replay:
        raise CommandError("a run is either recorded or replayed: leave out --replay")
    url, key = _service(gateway, service) if service else (base_url, _key(api_key_env))
    chosen = replace(
        choices,
        port=0,
        record=out.absolute(),
        record_url=url,
        record_model=tuple(model or ()),
        redact=tuple(name for name in redact.split(",") if name),
        overwrite=overwrite,
        provider_key=key,
    )
    raise typer.Exit(execute_with_receipt(command, chosen))


def receipt(port: PortOption = None) -> None:
    """Print as JSON which models were called, what served the calls, and whether all came from a recording."""
    print(json.dumps(ask(find(port), "GET", "receipt"), indent=2, ensure_ascii=False))


def execute_with_receipt(command: Sequence[str], choices: Choices) -> int:
    """Run a command against an emulator of its own, and say what its models were; returns its exit status."""
    with processes.own_emulator(choices) as started:
        status = execute(command, started.record.environment)
        said = ask(started.record, "GET", "receipt") if choices.replay or choices.record or choices.receipt else None
    if said:
        tell(_summary(said))
    if choices.receipt:
        tell(f"the receipt is in {choices.receipt}")
    return status


def _summary(said: dict[str, Any]) -> str:
    about: dict[str, Any] = said["recording"] or {}
    if "written" in about:
        lost = f", and {about['lost']} could not be kept" if about["lost"] else ""
        return f"{about['written']} model calls are recorded in {about['file']}{lost}"
    return Receipt.from_json(said).summary()


def _key(variable: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable)
    if not key:
        raise CommandError(f"{variable} is not set: set it to the provider's key, or name another by --api-key-env")
    return key


def _service(file: Path, name: str) -> tuple[str, str]:
    """The URL and the key of a service in a gateway's file."""
    # here, because no other command needs pydantic, which is slow to import
    from agentrun.gateway.file import GatewayFileError, load
    from agentrun.gateway.plan import PlanError

    try:
        found = load(file).service(name)
    except (GatewayFileError, PlanError) as error:
        raise CommandError(str(error)) from error
    except ModuleNotFoundError as error:
        raise CommandError("a gateway's file needs PyYAML: pip install pyyaml") from error
    return found.base_url, found.api_key or ""
