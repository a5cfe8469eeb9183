"""One emulator over TLS for the clients of others, trusted as they would trust it: through SSL_CERT_FILE."""

from __future__ import annotations

import base64
import io
import uuid
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeAlias

import pytest

from agentrun.emulator import Emulator
from tests.parity.generated import SYNC, Generated

ECHO = Path(__file__).parent / "agents" / "echo"

Connect: TypeAlias = Callable[..., Generated]


@pytest.fixture(scope="package")
def emulator() -> Generator[Emulator, None, None]:
    with Emulator(tls=True) as emulator, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", emulator.environment()["SSL_CERT_FILE"])
        patch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        yield emulator


@pytest.fixture
def account() -> str:
    """An access key that nobody else uses, and so an empty account."""
    return f"parity-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="package")
def connect(emulator: Emulator) -> Connect:
    def connect(access_key_id: str, mode: str = SYNC) -> Generated:
        return Generated(emulator.url.removeprefix("https://"), access_key_id, emulator.settings.secret, mode)

    return connect


@pytest.fixture(scope="package")
def echo_zip() -> str:
    """The agent in agents/echo as its upload: the Base64 text of a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(ECHO / "main.py", "main.py")
    return base64.b64encode(packed.getvalue()).decode()
