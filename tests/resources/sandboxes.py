"""One sandbox that the tests of a file share, and a template of the same account."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from uuid import uuid4

from agentrun import CodeInterpreterSandbox, Config, Sandbox, Template, TemplateType
from agentrun.emulator import Emulator

TEMPLATE = "python"


@contextmanager
def account(emulator: Emulator) -> Generator[Config, None, None]:
    """The settings of an account of its own that has a template."""
    key = f"sandbox-{uuid4().hex}"
    with emulator.config(key) as config:
        Template.create(template_name=TEMPLATE, template_type=TemplateType.CODE_INTERPRETER, config=config)
        yield config
    emulator.reset(key)


def created(config: Config) -> CodeInterpreterSandbox:
    """A sandbox that is ready."""
    return Sandbox.create(TemplateType.CODE_INTERPRETER, TEMPLATE, config=config).wait_until_healthy()
