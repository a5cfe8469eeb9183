"""No account, no telemetry: nothing here reaches for any other machine, not even for a name."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys

LOOPBACK = ("127.0.0.1", "localhost", "::1")

def refuse(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in LOOPBACK:
        raise PermissionError(f"{event} {arguments[1]}")
    if event in ("socket.getaddrinfo", "socket.gethostbyname") and arguments[0] not in (*LOOPBACK, None):
        raise PermissionError(f"{event} {arguments[0]}")

sys.addaudithook(refuse)

from agentrun import CodeInterpreterSandbox, Credential, CredentialConfig, Sandbox, Template, TemplateType
from agentrun.emulator import Emulator

with Emulator() as emulator:
    config = emulator.config()
    secret = CredentialConfig.outbound_llm_api_key("sk", "openai")
    Credential.create(credential_name="key", credential_config=secret, config=config)
    Template.create(template_name="t", template_type=TemplateType.CODE_INTERPRETER, config=config)
    with Sandbox.create(TemplateType.CODE_INTERPRETER, "t", config=config) as sandbox:
        print(sandbox.context.execute("print(6 * 7)").stdout)
try:
    __import__("socket").create_connection(("192.0.2.1", 80), 0.1)
except PermissionError:
    print("the hook works")
"""


def test_a_whole_life_touches_only_this_machine() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.split("\n") == ["42", "", "the hook works", ""]
