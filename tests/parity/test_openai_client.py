"""The `openai` client, unmodified, talks to an agent behind the gateway and to the scripted model."""

from __future__ import annotations

from collections.abc import Mapping

import openai
import pytest

from agentrun._core.api import data_headers
from agentrun._core.credentials import Credentials
from agentrun.emulator import Emulator
from tests.parity.conftest import Connect
from tests.parity.generated import ASYNC
from tests.parity.kinds import ENDPOINT
from tests.parity.written import make

TEXT = "streams come in pieces, and 中文 comes whole"
MESSAGES = {"messages": [{"role": "user", "content": TEXT}], "model": "agent"}


def signed(emulator: Emulator, account: str, base_url: str) -> Mapping[str, str]:
    """The signature of one chat request: it leaves the body out, so it is known before the client makes the body."""
    url = f"{base_url}/chat/completions"
    return data_headers("POST", url, Credentials(account, emulator.settings.secret), emulator.settings.region)


@pytest.fixture
async def agent(emulator: Emulator, connect: Connect, account: str, echo_zip: str) -> str:
    """The base URL under which an uploaded agent serves the OpenAI protocol."""
    await make(connect(account, ASYNC), ENDPOINT, echo_zip)
    return f"{emulator.url}/agent-runtimes/agent/endpoints/prod/invocations/openai/v1"
