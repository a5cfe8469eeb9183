"""Credentials in sandboxes: real clients inside, real servers outside, and the secret only there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from agentrun import (
    CodeInterpreterSandbox,
    Config,
    Credential,
    CredentialConfig,
    CredentialCreateInput,
    NetworkPolicy,
    Sandbox,
    SandboxCredential,
    Template,
)
from agentrun.emulator import Emulator
from agentrun.emulator.authority import Authority
from agentrun.sandbox.network import NetworkRule
from tests.emulator import upstreams
from tests.emulator.upstreams import Upstream
from tests.resources.sandboxes import TEMPLATE

SECRET = "real+secret/of the=test&42"
LOOPBACK = NetworkPolicy.allow(NetworkRule(cidr="127.0.0.2/32"))


@dataclass
class World:
    """An emulator that trusts the authority of two servers: one that the credential allows, and another."""

    config: Config
    api: Upstream
    other: Upstream
    plain: Upstream
    emulator: Emulator


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, authority = tmp_path_factory.mktemp("upstreams"), Authority("the tests")
    with (
        upstreams.running(authority, folder) as api,
        upstreams.running(authority, folder) as other,
        upstreams.running(None, folder) as plain,
        Emulator(trusted_ca=upstreams.trusted(authority, folder)) as emulator,
        emulator.config(f"credentials-{uuid4().hex}") as config,
    ):
        Template.create(template_name=TEMPLATE, template_type="CodeInterpreter", config=config)
        made = World(config, api, other, plain, emulator)
        credential(made, "api", SECRET, api.host)
        yield made


def credential(world: World, name: str, secret: str, *hosts: str) -> Credential:
    settings = CredentialConfig.outbound_tool_api_key(secret)
    given = CredentialCreateInput(
        credential_name=name, credential_config=settings.for_hosts(*hosts) if hosts else settings
    )
    return Credential.create(given, world.config)


def created(world: World, *credentials: SandboxCredential | str, **options: Any) -> CodeInterpreterSandbox:
    given = credentials or (SandboxCredential.of("api", "API_KEY"),)
    box: CodeInterpreterSandbox = Sandbox.create(
        "CodeInterpreter",
        TEMPLATE,
        network=options.pop("network", LOOPBACK),
        credentials=list(given),
        config=world.config,
        **options,
    )
    return box


@pytest.fixture(scope="module")
def box(world: World) -> Iterator[CodeInterpreterSandbox]:
    with created(world) as made:
        yield made


def said(box: CodeInterpreterSandbox, code: str) -> Any:
    """What code prints, as JSON."""
    result = box.context.execute(code)
    text = result.text if hasattr(result, "text") else str(result)
    return json.loads(text)


def test_it(world: World, box: CodeInterpreterSandbox) -> None:
    done = box.process.cmd(
        f"""python3 -c '
import os, urllib.request
request = urllib.request.Request("{world.api.url}/echo", headers={{"Authorization": "Bearer " + os.environ["API_KEY"]}})
print(urllib.request.urlopen(request).read().decode())
'"""
    )
    print(done)
    assert world.api.saw(SECRET)
    assert SECRET not in repr(done)
