"""`agentrun emulator images ...`: the container images that the docker backend makes sandboxes from."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Generator
from typing import Annotated, Optional

import typer

from agentrun.cli.output import CommandError, show, show_table
from agentrun.emulator.backends.base import BackendError
from agentrun.emulator.backends.docker.engine import Engine, connect
from agentrun.emulator.backends.docker.images import CODE_INTERPRETER, Builder, built

app = typer.Typer(no_args_is_help=True, help="Container images for `--backend docker`.")


@app.command()
def build(
    image: Annotated[str, typer.Argument(help="Which sandboxes it is for.")] = CODE_INTERPRETER,
    base: Annotated[
        Optional[str],  # noqa: UP045  # typer before 0.13 does not read `str | None`
        typer.Option(help="An image to begin with, such as python:3.11-slim; without it one is made of packages."),
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Build everything again, also what is current.")] = False,
) -> None:
    """Build an image on this machine; no registry is needed."""
    with _engine() as engine:
        show(f"{Builder(engine, show, image).build(base, anew)} is ready")


@app.command("list")
def list_images() -> None:
    """Show the images that were built here."""
    with _engine() as engine:
        found = built(engine)
    if not found:
        raise CommandError("there are no images: run `agentrun emulator images build`")
    rows = [[image.name, f"{image.size} MiB", _time(image.created), _state(image.current)] for image in found]
    show_table(("image", "size", "built", "state"), rows)


@contextlib.contextmanager
def _engine() -> Generator[Engine, None, None]:
    """The engine of this machine; what it complains about becomes the command's error."""
    try:
        with contextlib.closing(connect()) as engine:
            yield engine
    except BackendError as error:
        raise CommandError(str(error)) from error


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _state(current: bool) -> str:
    return "current" if current else "of another version: build it again"
