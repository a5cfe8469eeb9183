"""The `openai` client, unmodified, talks to an agent behind the gateway and to the scripted model."""

from __future__ import annotations

from collections.abc import Mapping

import openai
import pytest
import pytest_asyncio

from agentrun._core.api import data_headers
from agentrun._core.credentials import Credentials
from agentrun.emulator import Emulator
from tests.parity.conftest import Connect
from tests.parity.generated import ASYNC
from tests.parity.kinds import ENDPOINT
from tests.parity.streams import is_object
from tests.parity.written import make

TEXT = "streams come in pieces, and 中文 comes whole"


@pytest_asyncio.fixture
async def agent(emulator: Emulator, connect: Connect, account: str, echo_zip: str) -> str:
    """The base URL under which an uploaded agent serves the OpenAI chat protocol."""
    endpoint = await make(connect(account, ASYNC), ENDPOINT, echo_zip)
    assert endpoint.shown["endpointPublicUrl"] == f"{emulator.url}/agent-runtimes/agent/endpoints/prod/invocations"
    return f"{endpoint.shown['endpointPublicUrl']}/openai/v1"


@pytest.fixture
def signature(emulator: Emulator, account: str, agent: str) -> Mapping[str, str]:
    """What signs a chat request: the signature leaves the body out, so it is made before the client makes the body."""
    credentials = Credentials(account, emulator.settings.secret)
    return data_headers("POST", f"{agent}/chat/completions", credentials, emulator.settings.region)


def test_an_agent_answers_the_client(agent: str, signature: Mapping[str, str]) -> None:
    with openai.OpenAI(base_url=agent, api_key="none", default_headers=signature, max_retries=0) as client:
        whole = client.chat.completions.create(model="agent", messages=[{"role": "user", "content": TEXT}])
        chunks = list(
            client.chat.completions.create(model="agent", messages=[{"role": "user", "content": TEXT}], stream=True)
        )
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (TEXT, "stop")
    pieces = [chunk.choices[0].delta.content for chunk in chunks]
    assert "".join(piece or "" for piece in pieces) == TEXT
    assert len([piece for piece in pieces if piece]) == len(TEXT.split())
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.asyncio
async def test_an_agent_answers_the_asynchronous_client(agent: str, signature: Mapping[str, str]) -> None:
    async with openai.AsyncOpenAI(base_url=agent, api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="agent", messages=[{"role": "user", "content": TEXT}], stream=True, extra_headers=signature
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == TEXT


def test_the_first_piece_comes_before_the_last_is_made(agent: str, signature: Mapping[str, str]) -> None:
    with openai.OpenAI(base_url=agent, api_key="none", default_headers=signature, max_retries=0) as client:
        # The agent sends its second word only when it is told, over a second connection, that the first has arrived.
        stream = client.chat.completions.create(
            model="held", messages=[{"role": "user", "content": "first second"}], stream=True
        )
        first = next(stream).choices[0].delta.content
        client.chat.completions.create(model="release", messages=[{"role": "user", "content": "go"}])
        rest = [chunk.choices[0].delta.content for chunk in stream]
    assert (first, rest) == ("first", [" second", None])


def test_the_agent_does_not_see_the_signature(agent: str, signature: Mapping[str, str]) -> None:
    with openai.OpenAI(base_url=agent, api_key="none", default_headers=signature, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="agent", messages=[{"role": "user", "content": TEXT}]
        )
    assert raw.headers["x-seen-signature"] == "False"


def test_without_a_signature_the_client_is_refused(agent: str) -> None:
    with (
        openai.OpenAI(base_url=agent, api_key="none", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="no Agentrun-Authorization signature") as caught,
    ):
        client.chat.completions.create(model="agent", messages=[{"role": "user", "content": TEXT}])
    assert caught.value.status_code == 401
    assert is_object(caught.value.body)
    assert caught.value.body["code"] == "MissingAuthorization"


def test_an_unknown_agent_is_not_found(emulator: Emulator, account: str) -> None:
    base_url = f"{emulator.url}/agent-runtimes/none/endpoints/Default/invocations/openai/v1"
    credentials = Credentials(account, emulator.settings.secret)
    signature = data_headers("POST", f"{base_url}/chat/completions", credentials, emulator.settings.region)
    with (
        openai.OpenAI(base_url=base_url, api_key="none", default_headers=signature, max_retries=0) as client,
        pytest.raises(openai.NotFoundError, match="agent runtime none does not exist"),
    ):
        client.chat.completions.create(model="agent", messages=[{"role": "user", "content": TEXT}])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_scripted_model_answers_by_the_environment_alone(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator(tls=tls) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        with openai.OpenAI(max_retries=0) as client:
            stream = client.chat.completions.create(
                model="any",
                messages=[{"role": "user", "content": TEXT}],
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = list(stream)
            whole = client.chat.completions.create(model="any", messages=[{"role": "user", "content": TEXT}])
            response = client.responses.create(model="any", input=TEXT)
            vectors = client.embeddings.create(model="any", input=[TEXT, TEXT]).data
    assert response.output_text == TEXT
    assert vectors[0].embedding == vectors[1].embedding
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(piece or "" for piece in pieces) == TEXT == whole.choices[0].message.content
    assert len([piece for piece in pieces if piece]) > 1
    assert chunks[-1].usage == whole.usage
    assert whole.usage
    assert whole.usage.total_tokens > 0
