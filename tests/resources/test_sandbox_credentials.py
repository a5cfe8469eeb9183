"""Credentials in sandboxes: real clients inside, real servers outside, and the secret only there."""

from __future__ import annotations

import ast
import base64
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from agentrun import (
    CodeInterpreterSandbox,
    Config,
    Credential,
    CredentialBasicAuth,
    CredentialConfig,
    CredentialCreateInput,
    CredentialUpdateInput,
    NetworkPolicy,
    OutputEvent,
    Sandbox,
    SandboxCredential,
    Template,
    TemplateCredentialConfiguration,
)
from agentrun.emulator import Emulator
from agentrun.emulator.authority import Authority
from agentrun.errors import ClientError, InvalidInputError, UnsupportedError
from agentrun.sandbox.network import NetworkRule
from tests.emulator import upstreams
from tests.emulator.upstreams import Upstream
from tests.resources.modes import Mode
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


def ran(box: CodeInterpreterSandbox, command: str, exit_code: int = 0) -> str:
    """What a command prints."""
    done = box.process.cmd(command, timeout=60)
    assert done.exit_code == exit_code, done
    return done.stdout


def program(box: CodeInterpreterSandbox, code: str) -> str:
    """What a Python program of its own prints."""
    box.file.write("/home/user/program.py", code)
    return ran(box, "python3 /home/user/program.py")


# Clients


CLIENTS = {
    "urllib": """
import os, urllib.request
request = urllib.request.Request("{url}", headers={{"Authorization": "Bearer " + os.environ["API_KEY"]}})
print(urllib.request.urlopen(request).read().decode())
""",
    "requests": """
import os, requests
print(requests.get("{url}", headers={{"Authorization": "Bearer " + os.environ["API_KEY"]}}).text)
""",
    "httpx": """
import os, httpx
print(httpx.get("{url}", headers={{"Authorization": "Bearer " + os.environ["API_KEY"]}}).text)
""",
}


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_of_python(world: World, box: CodeInterpreterSandbox, client: str) -> None:
    said = json.loads(program(box, CLIENTS[client].format(url=f"{world.api.url}/{client}")))
    assert world.api.last["headers"]["Authorization"] == f"Bearer {SECRET}"
    assert said["headers"]["Authorization"] == f"Bearer {ran(box, 'printenv API_KEY').strip()}"


def test_code_in_a_context_and_without_one(world: World, box: CodeInterpreterSandbox) -> None:
    """Their interpreters are forked, so what they trust is read when it is needed and not before."""
    code = CLIENTS["requests"].format(url=f"{world.api.url}/context")
    assert "agentrun-placeholder-" in box.context.execute(code).raise_on_error().stdout
    with box.context.create() as context:
        assert "agentrun-placeholder-" in context.execute(code).raise_on_error().stdout
    assert [one["headers"]["Authorization"] for one in world.api.received[-2:]] == [f"Bearer {SECRET}"] * 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_with_a_user_a_query_and_a_form(world: World, box: CodeInterpreterSandbox) -> None:
    ran(box, f'curl -sSf -u "me:$API_KEY" --data-urlencode "key=$API_KEY" "{world.api.url}/curl?key=$API_KEY"')
    basic = base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert world.api.last["headers"]["Authorization"] == f"Basic {basic}"
    assert parse_qs(world.api.last["body"]) == {"key": [SECRET]}
    assert parse_qs(urlsplit(str(world.api.last["path"])).query) == {"key": [SECRET]}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node_trusts_what_others_trust(world: World, box: CodeInterpreterSandbox) -> None:
    code = """
const http = require('http'), https = require('https'), tls = require('tls');
const target = new URL(process.argv[2]);
http.request({host: '127.0.0.1', port: 3128, method: 'CONNECT', path: target.host}).on('connect', (answer, socket) => {
  const createConnection = () => tls.connect({socket, host: target.hostname});
  const headers = {Authorization: 'Bearer ' + process.env.API_KEY, Host: target.host};
  https.request(target, {createConnection, headers}, answer => answer.pipe(process.stdout)).end();
}).end();
"""
    box.file.write("/home/user/client.js", code)
    said = json.loads(ran(box, f"node /home/user/client.js {world.api.url}/node"))
    assert said["path"] == "/node"
    assert world.api.last["headers"]["Authorization"] == f"Bearer {SECRET}"


# What never enters


def test_the_secret_is_nowhere_inside(world: World, box: CodeInterpreterSandbox) -> None:
    """Not in environments, memory, files, command lines, nor in what the sandbox tells of itself."""
    program(box, CLIENTS["urllib"].format(url=f"{world.api.url}/before"))
    placeholder = ran(box, "printenv API_KEY").strip()
    assert found_inside(box, placeholder) != []
    assert found_inside(box, SECRET) == []
    assert SECRET not in ran(box, "env; ps auxwwe 2>/dev/null; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; true")
    shown = Sandbox.get_by_id(box.label, config=world.config)
    assert shown.credentials is not None
    one = shown.credentials[0]
    assert (one.credential_name, one.environment, one.hosts) == ("api", {"API_KEY": "secret"}, [world.api.host])
    for text in (repr(shown), json.dumps(shown.to_wire()), repr(box.credential_use())):
        assert SECRET not in text
        assert placeholder not in text


def found_inside(box: CodeInterpreterSandbox, text: str) -> list[str]:
    """In which files, environments, command lines and memory of a sandbox a text is."""
    # Each sign in brackets, so that what is looked for is not in memory because it is looked for.
    pattern = "".join(f"[{sign}]" for sign in text)
    code = f"""
import glob, os, re
wanted, found = re.compile({pattern!r}.encode()), []
def look(path):
    try:
        if os.path.isfile(path) and wanted.search(open(path, 'rb').read()): found.append(path)
    except OSError: pass
for path in [*glob.glob('/proc/[0-9]*/environ'), *glob.glob('/proc/[0-9]*/cmdline')]: look(path)
for folder in ('/home/user', '/tmp', '/run', '/etc', '/dev/shm'):
    for parent, _, names in os.walk(folder):
        for name in names: look(os.path.join(parent, name))
for line in open('/proc/self/maps'):
    addresses, rights, *_ = line.split()
    if not rights.startswith('rw') or '[v' in line: continue
    start, end = (int(number, 16) for number in addresses.split('-'))
    with open('/proc/self/mem', 'rb', 0) as memory:
        for at in range(start, end, 1 << 20):
            try:
                memory.seek(at)
                if wanted.search(memory.read(min(1 << 20, end - at)) or b''): found.append(line)
            except OSError: break
print(found)
"""
    found: list[str] = ast.literal_eval(box.context.execute(code, timeout=60).raise_on_error().stdout)
    return found


def test_the_authority_s_key_is_not_inside(world: World, box: CodeInterpreterSandbox) -> None:
    """What code trusts it can read, and neither change nor sign with."""
    bundle = ran(box, "printenv SSL_CERT_FILE").strip()
    assert ran(box, f"grep -c 'PRIVATE KEY' {bundle}; true").strip() == "0"
    assert ran(box, f"test -w {bundle} && echo writable; true") == ""


# Where it may not go


def test_another_server_gets_the_placeholder_at_most(world: World, box: CodeInterpreterSandbox) -> None:
    """A tunnel that nobody looks into; our certificate is not used there, so its own has to be trusted or ignored."""
    ran(box, f'curl -sSfk -H "X-Key: $API_KEY" {world.other.url}/other')
    assert world.other.last["headers"]["X-Key"].startswith("agentrun-placeholder-")
    assert not world.other.saw(SECRET)


def test_plain_http_is_refused_and_logged(world: World, box: CodeInterpreterSandbox) -> None:
    before = len(box.credential_use().refusals)
    said = ran(box, f'curl -sS -w "%{{http_code}}" -H "X-Key: $API_KEY" {world.plain.url}/plain')
    assert said.endswith("403")
    assert f"the credential api may be used at {world.api.host} only" in said
    assert not world.plain.received
    use = box.credential_use()
    assert len(use.refusals) == before + 1
    refused = use.refusals[-1]
    assert (refused.credential_name, refused.origin) == ("api", world.plain.url)
    entry = [one for one in journal(world) if one["operation"] == "InjectCredential"][-1]
    assert (entry["status"], entry["path"]) == (403, f"sandbox {box.label} to {world.plain.url}")
    assert SECRET not in json.dumps(journal(world))


def journal(world: World) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = httpx.get(f"{world.emulator.url}/_emulator/journal").json()["entries"]
    return entries


def test_a_redirect_to_another_server_takes_no_secret_along(world: World, box: CodeInterpreterSandbox) -> None:
    there = f"{world.plain.url}/redirected"
    said = ran(box, f'curl -sSL -H "X-Key: $API_KEY" "{world.api.url}/redirect?to={there}"')
    assert "may be used at" in said
    assert not world.plain.saw("/redirected")


@pytest.mark.parametrize("path", ["echo", "chunks", "header"])
def test_an_echo_does_not_tell_the_secret(world: World, box: CodeInterpreterSandbox, path: str) -> None:
    said = ran(box, f'curl -sSfi -H "Authorization: $API_KEY" -d "$API_KEY" {world.api.url}/{path}')
    assert SECRET not in said
    assert "agentrun-placeholder-" in said
    assert world.api.saw(SECRET)


def test_host_and_handshake_cannot_name_somebody_else(world: World, box: CodeInterpreterSandbox) -> None:
    said = ran(box, f'curl -sS -H "Host: evil.example" -H "X-Key: $API_KEY" {world.api.url}/tricked')
    assert "must name it in one Host header" in said
    port = world.api.port
    trick = f"--connect-to evil.example:{port}:127.0.0.2:{port} https://evil.example:{port}/tricked"
    ran(box, f'curl -sSk -H "X-Key: $API_KEY" {trick} >/dev/null 2>&1; true')
    assert not world.api.saw("/tricked")


def test_a_placeholder_of_one_sandbox_is_nothing_in_another(world: World, box: CodeInterpreterSandbox) -> None:
    stolen = ran(box, "printenv API_KEY").strip()
    with created(world) as second:
        assert ran(second, "printenv API_KEY").strip() != stolen
        ran(second, f'curl -sSf -H "X-Key: {stolen}" {world.api.url}/stolen')
    assert world.api.last["headers"]["X-Key"] == stolen


# Life


def test_disabled_changed_and_deleted_while_it_is_used(world: World) -> None:
    made = credential(world, "living", "the first secret", world.api.host)
    code = """
import http.client, os, ssl, sys, urllib.parse
target = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPSConnection("127.0.0.1", 3128)
connection.set_tunnel(target.hostname, target.port)
for line in sys.stdin:
    connection.request("GET", target.path, headers={"X-Key": os.environ["LIVING"], "Host": target.netloc})
    answer = connection.getresponse()
    sys.stdout.write(f"{answer.status} {answer.read().decode()}\\n")
    sys.stdout.flush()
"""
    with created(world, "living") as box:
        box.file.write("/home/user/kept.py", code)
        handle = box.process.start(f"python3 kept.py {world.api.url}/living", stdin=True, cwd="/home/user")
        answers = (event.text for event in handle.output() if isinstance(event, OutputEvent))

        def ask() -> str:
            handle.write("go\n")
            return next(answers)

        assert ask().startswith("200")
        assert world.api.last["headers"]["X-Key"] == "the first secret"
        settings = CredentialConfig.outbound_tool_api_key("the second secret").for_hosts(world.api.host)
        made.update(CredentialUpdateInput(credential_config=settings), world.config)
        assert ask().startswith("200")
        assert world.api.last["headers"]["X-Key"] == "the second secret"
        made.update(CredentialUpdateInput(enabled=False), world.config)
        said = ask()
        assert said.startswith("403")
        assert "credential 'living' cannot be used: it is disabled" in said
        handle.kill()
        made.delete(world.config)
        said = ran(box, f'curl -sS -H "X-Key: $LIVING" {world.api.url}/living')
        assert "credential 'living' cannot be used: it does not exist" in said


def test_a_paused_sandbox_keeps_its_placeholder(world: World) -> None:
    with created(world) as box:
        before = ran(box, "printenv API_KEY")
        box.pause()
        box.resume()
        assert ran(box, "printenv API_KEY") == before
        program(box, CLIENTS["urllib"].format(url=f"{world.api.url}/resumed"))
        with box.context.create() as context:
            [fork] = context.fork()
            said = fork.execute("import os; print(os.environ['API_KEY'])").raise_on_error().stdout
            assert said == before
    assert world.api.last["headers"]["Authorization"] == f"Bearer {SECRET}"


def test_uses_are_counted(world: World, call: Mode) -> None:
    with created(world) as box:
        ran(box, f'curl -sSf -H "X-Key: $API_KEY" {world.api.url}/counted')
        use = call(box, "credential_use")
    one = use.credentials[0]
    assert (one.credential_name, one.uses, one.hosts) == ("api", 1, [world.api.host])
    assert one.last_used_at is not None
    assert use.refusals == []


def test_large_bodies_pass_both_ways(world: World, box: CodeInterpreterSandbox) -> None:
    size = 50 * 2**20
    said = ran(box, f"head -c {size} /dev/zero | curl -sSf -T - -H 'X-Key: '$API_KEY {world.api.url}/swallow")
    assert json.loads(said) == {"received": size}
    ran(box, f"head -c {size} /dev/zero > big")
    assert json.loads(ran(box, f"curl -sSf -T big {world.api.url}/swallow; rm big")) == {"received": size}
    assert ran(box, f"curl -sSf '{world.api.url}/big?size={size}' | wc -c").strip() == str(size)


# Creation


def test_names_parts_and_prefixes(world: World) -> None:
    config = world.config
    users = CredentialConfig.inbound_basic([CredentialBasicAuth(username="me", password="pass word")])
    Credential.create(
        CredentialCreateInput(credential_name="basic", credential_config=users.for_hosts(world.api.host)), config
    )
    headers = CredentialConfig.outbound_tool_custom_header({"X-One": "first value", "X-Two": "second value"})
    Credential.create(
        CredentialCreateInput(credential_name="my-tool", credential_config=headers.for_hosts(world.api.host)), config
    )
    sk = SandboxCredential.of("api", ["OPENAI_API_KEY", "ALSO"], placeholder_prefix="sk-agentrun-placeholder-")
    with created(world, sk, "basic", "my-tool") as box:
        shown = dict(line.split("=", 1) for line in ran(box, "env").splitlines() if "placeholder-" in line)
        assert shown.keys() == {
            *("OPENAI_API_KEY", "ALSO", "BASIC_USERNAME", "BASIC_PASSWORD", "MY_TOOL_X_ONE", "MY_TOOL_X_TWO"),
        }
        assert shown["OPENAI_API_KEY"] == shown["ALSO"]
        assert shown["ALSO"].startswith("sk-agentrun-placeholder-")
        ran(
            box,
            f'curl -sSf -u "$BASIC_USERNAME:$BASIC_PASSWORD" -H "X-Two: $MY_TOOL_X_TWO" {world.api.url}/parts',
        )
    sent = world.api.last["headers"]
    assert base64.b64decode(sent["Authorization"].split()[1]) == b"me:pass word"
    assert sent["X-Two"] == "second value"


def test_a_template_names_a_credential(world: World) -> None:
    def template(name: str, variables: dict[str, str] | None = None) -> None:
        Template.create(
            template_name=name,
            template_type="CodeInterpreter",
            credential_configuration=TemplateCredentialConfiguration(credential_name="api"),
            environment_variables=variables,
            config=world.config,
        )

    template("named")
    variables = {"MY_KEY": "${placeholder:api}", "LINE": "Bearer ${placeholder:api}"}
    template("referring", variables)
    with Sandbox.create("CodeInterpreter", "named", config=world.config) as box:
        assert ran(box, "printenv API").startswith("agentrun-placeholder-")
    with Sandbox.create("CodeInterpreter", "referring", network=LOOPBACK, config=world.config) as box:
        key, line = ran(box, "printenv MY_KEY LINE").splitlines()
        assert line == f"Bearer {key}"
        assert "API" not in ran(box, "env | grep -o '^[A-Z_]*'").split()
        ran(box, f'curl -sSf -H "Authorization: $LINE" {world.api.url}/referring')
    assert world.api.last["headers"]["Authorization"] == f"Bearer {SECRET}"


def test_a_list_of_hosts_can_be_narrowed_only(world: World) -> None:
    credential(world, "wide", "a wide secret", world.api.host, world.other.host)
    narrow = SandboxCredential.of("wide", "WIDE", hosts=[world.other.host])
    with created(world, narrow) as box:
        ran(box, f'curl -sSf -H "X-Key: $WIDE" {world.other.url}/narrow')
        ran(box, f'curl -sSfk -H "X-Key: $WIDE" {world.api.url}/narrow')
    assert world.other.last["headers"]["X-Key"] == "a wide secret"
    assert world.api.last["headers"]["X-Key"].startswith("agentrun-placeholder-")
    with pytest.raises(ClientError, match=r"does not allow evil.example: it allows"):
        created(world, SandboxCredential.of("wide", hosts=["evil.example"]))


def test_what_cannot_be_given(world: World) -> None:
    config = world.config
    credential(world, "anywhere", "a secret without hosts")
    keys = CredentialConfig.outbound_tool_ak_sk("aliyun", "id", "a secret key", "1").for_hosts("a.example.com")
    Credential.create(CredentialCreateInput(credential_name="signing", credential_config=keys), config)
    off = credential(world, "off", "a secret", "a.example.com")
    off.update(CredentialUpdateInput(enabled=False), config)
    refused = {
        "missing": "credential 'missing' cannot be used: it does not exist",
        "anywhere": "names no hosts, so it could go anywhere: give its credentialPublicConfig the list allowedHosts",
        "signing": "is an access key, which signs requests",
        "off": "credential 'off' cannot be used: it is disabled",
    }
    for name, why in refused.items():
        with pytest.raises(ClientError, match=re.escape(why)):
            created(world, name)
    for wrong, why in (
        (SandboxCredential.of("api", {"KEY": "password"}), "has the parts secret; not password"),
        (SandboxCredential.of("api", "NOT A NAME"), "is no name of an environment variable"),
        (SandboxCredential.of("api", hosts=["*"]), "is no host"),
    ):
        with pytest.raises(ClientError, match=re.escape(why)):
            created(world, wrong)
    with pytest.raises(ClientError, match="the credential api is named twice"):
        created(world, "api", SandboxCredential.of("api", "KEY"))
    credential(world, "second", "a second secret", world.api.host)
    with pytest.raises(ClientError, match="KEY would hold both the credential api and second"):
        created(world, SandboxCredential.of("api", "KEY"), SandboxCredential.of("second", "KEY"))
    Template.create(
        template_name="leaking",
        template_type="CodeInterpreter",
        environment_variables={"KEY": "${credential:api}"},
        config=config,
    )
    with pytest.raises(ClientError, match=re.escape("write ${placeholder:api}")):
        Sandbox.create("CodeInterpreter", "leaking", config=config)
    with pytest.raises(InvalidInputError):
        SandboxCredential.of("api", prefix="sk-")
    with pytest.raises(InvalidInputError):
        SandboxCredential.of("api", placeholder_prefix="with space")


def test_hosts_are_an_extension_that_the_cloud_is_not_sent() -> None:
    cloud = Config(
        access_key_id="id", access_key_secret="secret", account_id="1", control_endpoint="https://cloud.example"
    )
    settings = CredentialConfig.outbound_tool_api_key("a secret").for_hosts("api.example.com")
    with pytest.raises(UnsupportedError, match="for_hosts"):
        Credential.create(CredentialCreateInput(credential_name="x", credential_config=settings), cloud)
