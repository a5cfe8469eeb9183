"""The reference pages leave nothing out: settings, errors, commands with their options, and operations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, get_args

import pytest
import typer.main

from agentrun import ModelProxyCreateInput, ModelProxyStats, ProxyConfig, errors
from agentrun._core.extensions import Extension
from agentrun._core.model import Model
from agentrun.cli.app import app
from agentrun.config import Config
from agentrun.emulator import Settings
from agentrun.model.provider_keys import VARIABLES
from agentrun.sandbox import extensions
from agentrun.sandbox.options import SandboxOptions
from scripts import operations_table
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
SOURCES = (ROOT / "agentrun" / "config.py", ROOT / "agentrun" / "_core" / "credentials.py")
VARIABLE = re.compile(r'"((?:AGENTRUN|ALIBABA_CLOUD|FC|DEVS|BAILIAN|GPDB)_[A-Z_]*[A-Z])"')


def missing_from(page: str, names: Iterable[str]) -> list[str]:
    """The names that a page does not mention in code."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]


def commands(command: Any, path: str) -> dict[str, list[str]]:
    """Every command below one, with its options."""
    below = getattr(command, "commands", {})
    if not below:
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("-")]
        return {path: options}
    return {name: found for each, sub in below.items() for name, found in commands(sub, f"{path} {each}").items()}


def test_every_setting_is_described() -> None:
    assert missing_from("config.md", [field.name for field in fields(Config)]) == []
    assert missing_from("emulator.md", [field.name for field in fields(Settings)]) == []


def test_every_variable_is_described() -> None:
    variables = sorted({name for source in SOURCES for name in VARIABLE.findall(source.read_text(encoding="utf-8"))})
    assert len(variables) >= 12
    assert missing_from("config.md", variables) == []


def test_every_error_is_in_the_tree_and_has_advice() -> None:
    tree, _, advice = (REFERENCE / "errors.md").read_text(encoding="utf-8").partition("## What to do")
    silent = {"AgentRunError", "Executed", "HTTPError"}
    assert [name for name in errors.__all__ if name not in tree] == []
    assert [name for name in errors.__all__ if name not in advice and name not in silent] == []


def test_the_tree_is_that_of_the_code() -> None:
    drawn = [line.strip() for line in (errors.__doc__ or "").splitlines() if "─" in line]
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8").splitlines()
    assert drawn
    assert [line for line in drawn if line not in page] == []


@pytest.mark.parametrize("path", commands(typer.main.get_command(app), "agentrun"))
def test_every_command_and_option_is_described(path: str) -> None:
    options = commands(typer.main.get_command(app), "agentrun")[path]
    assert missing_from("cli.md", [path, *(option for option in options if option != "--help")]) == []


@pytest.mark.parametrize("page", ["sandbox.md", "../explanation/compatibility.md"])
def test_every_extension_of_sandboxes_is_told_from_what_the_cloud_has(page: str) -> None:
    found = [value.name for value in vars(extensions).values() if isinstance(value, Extension)]
    assert len(found) >= 20
    assert missing_from(page, {name for each in found for name in re.findall(r"\w+\.(\w+)", each)}) == []
    assert missing_from(page, SandboxOptions.__annotations__) == []


def fields_below(kind: type[Model]) -> set[str]:
    """The fields of a model and of those in it."""
    below = [each for spec in kind.model_fields.values() for each in kinds(spec.annotation) if issubclass(each, Model)]
    return set(kind.model_fields).union(*map(fields_below, below))


def kinds(annotation: Any) -> list[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in kinds(part)]


def test_everything_about_proxies_is_described() -> None:
    shown = fields_below(ProxyConfig)
    assert len(shown) > 60
    given = {*ModelProxyCreateInput.model_fields, *fields_below(ModelProxyStats), *shown}
    assert missing_from("model-proxy.md", given - {"proxy"}) == []


def test_every_variable_with_a_provider_s_key_is_described() -> None:
    assert missing_from("model-service.md", [name for names in VARIABLES.values() for name in names]) == []


def test_the_table_of_operations_is_up_to_date() -> None:
    assert operations_table.main(["--check"]) == 0


def test_remarks_and_reasons_are_about_something_in_the_table() -> None:
    text = operations_table.PAGE.read_text(encoding="utf-8")
    assert [remark for remark in operations_table.REMARKS.values() if f"| real | {remark} |" not in text] == []
    assert [reason for reason in operations_table.REASONS.values() if f"| 501 | {reason} |" not in text] == []
