"""The options that describe an emulator, written once for every command that starts one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from agentrun._core import local
from agentrun.emulator.choices import ACCESS_KEYS_VARIABLE, Choices

PortOption = Annotated[
    Optional[int],  # noqa: UP045  # typer before 0.13 does not read `int | None`
    typer.Option("--port", help="The port of a running emulator; may be left out when only one runs."),
]


def emulator_choices(
    host: Annotated[str, typer.Option(help="The address to listen at.")] = local.HOST,
    state: Annotated[
        Optional[Path],  # noqa: UP045  # as above
        typer.Option(help="A directory that keeps everything; without it, nothing survives.", file_okay=False),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Serve HTTPS with a local certificate authority.")] = False,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Do not verify signatures.")] = False,
    loose: Annotated[bool, typer.Option("--loose", help="Only note what is wrong with a request.")] = False,
    profile: Annotated[str, typer.Option(help="How long things take: instant or realistic.")] = "instant",
    backend: Annotated[str, typer.Option(help="How code runs: auto, process or docker.")] = "auto",
    allow_unconfined: Annotated[
        bool, typer.Option("--allow-unconfined", help="Run code as ordinary processes where it cannot be isolated.")
    ] = False,
    script: Annotated[
        Optional[Path],  # noqa: UP045  # as above
        typer.Option(
            help="What the scripted model answers: a Python file with `script = Script(...)`, or a YAML file."
        ),
    ] = None,
    allow_host: Annotated[
        Optional[list[str]],  # noqa: UP045  # as above
        typer.Option(help="One more Host header to accept; may be repeated."),
    ] = None,
    mount_root: Annotated[
        Optional[list[Path]],  # noqa: UP045  # as above
        typer.Option(help="A folder below which sandboxes may be given folders; may be repeated.", file_okay=False),
    ] = None,
    allow_network: Annotated[
        Optional[list[str]],  # noqa: UP045  # as above
        typer.Option(
            metavar="DOMAIN|CIDR",
            help="Let sandboxes reach this and what else is named so, instead of every public address.",
        ),
    ] = None,
    trusted_ca: Annotated[
        Optional[Path],  # noqa: UP045  # as above
        typer.Option(
            help="Certificates by which servers are trusted, beside this machine's, where credentials are put in.",
            dir_okay=False,
            exists=True,
        ),
    ] = None,
    access_key: Annotated[
        Optional[list[str]],  # noqa: UP045  # as above
        typer.Option(
            metavar="ID:SECRET",
            envvar=ACCESS_KEYS_VARIABLE,
            help="An access key with a secret of its own; the usual secret still fits every id. May be repeated.",
        ),
    ] = None,
    replay: Annotated[
        Optional[Path],  # noqa: UP045  # as above
        typer.Option(help="A recording that answers model calls, instead of the scripted model.", dir_okay=False),
    ] = None,
    speed: Annotated[str, typer.Option(help="How fast a recording is replayed: at-once or original.")] = "at-once",
    no_repeat: Annotated[
        bool, typer.Option("--no-repeat", help="Refuse a request that comes more often than it was recorded.")
    ] = False,
    receipt: Annotated[
        Optional[Path],  # noqa: UP045  # as above
        typer.Option(help="A file to write at the end: which models were called, and what served them."),
    ] = None,
) -> Choices:
    """The choices that the options say."""
    return Choices(
        host=host,
        state=state.absolute() if state else None,
        tls=tls,
        no_auth=no_auth,
        loose=loose,
        profile=profile,
        backend=backend,
        allow_unconfined=allow_unconfined,
        script=script.absolute() if script else None,
        allow_host=tuple(allow_host or ()),
        mount_root=tuple(str(root.absolute()) for root in mount_root or ()),
        allow_network=tuple(allow_network or ()),
        trusted_ca=trusted_ca.absolute() if trusted_ca else None,
        access_key=tuple(access_key or ()),
        replay=replay.absolute() if replay else None,
        speed=speed,
        no_repeat=no_repeat,
        receipt=receipt.absolute() if receipt else None,
    )


def with_choices(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of an emulator; it gets them as one argument, `choices`."""
    described = signature(emulator_choices, eval_str=True).parameters
    own = [one for one in signature(command, eval_str=True).parameters.values() if one.name != "choices"]

    @functools.wraps(command)
    def described_command(**given: Any) -> None:
        said = {name: given.pop(name) for name in described}
        command(choices=emulator_choices(**said), **given)

    _set_parameters(described_command, [*own, *described.values()])
    return described_command


def _set_parameters(command: Callable[..., None], parameters: list[Parameter]) -> None:
    """Let typer see these parameters instead of the ones the function has."""
    named = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in parameters]
    command.__annotations__ = {one.name: one.annotation for one in named}
    setattr(command, "__signature__", Signature(named))  # noqa: B010  # no type checker knows this attribute
