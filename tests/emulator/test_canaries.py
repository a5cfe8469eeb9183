"""No secret of a test is anywhere it should not be: not in a file, a log, a journal, a span, an error, a sandbox."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrun import (
    AgentRuntime,
    AgentRuntimeCode,
    AgentRuntimeLanguage,
    Credential,
    CredentialBasicAuth,
    CredentialConfig,
    KnowledgeBase,
    ModelProxy,
    ModelService,
    NetworkPolicy,
    NetworkRule,
    ProviderSettings,
    ProxyConfig,
    ProxyConfigEndpoint,
    Sandbox,
    SandboxCredential,
    Template,
    TemplateType,
)
from agentrun.emulator.authority import Authority
from agentrun.errors import AgentRunError
from tests.canary import MARK, canary, files_below, holds, processes
from tests.emulator import upstreams
from tests.emulator.agents import agent, deployed
from tests.emulator.canary_ground import ASKED, Ground, ground
from tests.emulator.echoing import echoing
from tests.emulator.mcp_clients import begun
from tests.emulator.mcp_servers import PLAIN, TOOLS, local, made, packaged, remote, settled
from tests.emulator.signed import CREDENTIALS, MODEL_SERVICES, RUNTIMES, TEMPLATES
from tests.emulator.test_tools_proxied import api, function, mcp_remote
from tests.emulator.test_toolsets import SETS, done, toolset
from tests.emulator.upstreams import Upstream
from tests.token_server import SigningKey, TokenServer, token_server
from tests.unit.servers import serving

HELLO: list[Any] = [{"role": "user", "content": "hi"}]
CALL = "/agent-runtimes/agent/endpoints/Default/invocations/x"


@pytest.fixture(scope="module")
def tokens() -> Iterator[TokenServer]:
    with token_server(
        client_secret=canary("client-secret"), refresh_tokens={canary("refresh")}, rotates=True
    ) as server:
        yield server


@dataclass(frozen=True)
class Elsewhere:
    """Servers to which secrets are sent: one that repeats what it was sent, by HTTP, and one by HTTPS."""

    echo: str
    secure: Upstream
    trusted: Path


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder, authority = tmp_path_factory.mktemp("upstreams"), Authority("the tests")
    with echoing() as echo, upstreams.running(authority, folder) as secure:
        yield Elsewhere(echo, secure, upstreams.trusted(authority, folder))


@pytest.fixture(scope="module")
def used(tokens: TokenServer, elsewhere: Elsewhere) -> Iterator[Ground]:
    """An emulator in which every kind of credential was made, used, refused, changed and read."""
    with ground(elsewhere.trusted) as found:
        logs: list[str] = []
        handler = _Listening(logs)
        logging.getLogger().addHandler(handler)
        before = logging.getLogger().level
        logging.getLogger().setLevel(logging.DEBUG)
        try:
            outbound(found, tokens)
            models(found)
            agents(found, tokens)
            refusals(found)
            sandboxes(found)
            tools(found, elsewhere)
            tool_sets(found, elsewhere)
            knowledge(found)
            asking(found)
            placeholders(found, elsewhere)
        finally:
            logging.getLogger().setLevel(before)
            logging.getLogger().removeHandler(handler)
        found.said += logs
        time.sleep(0.5)  # Spans are sent by another thread.
        yield found


class _Listening(logging.Handler):
    """Keeps what our own library logs; that of others, such as a server of the tests, is theirs."""

    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("agentrun"):
            self._into.append(record.getMessage())


def create(ground: Ground, name: str, given: CredentialConfig) -> Credential:
    made = Credential.create(config=ground.config, credential_name=name, credential_config=given)
    ground.note(f"{given!r} {made!r} {given} {made} {[made]}")
    return made


def outbound(ground: Ground, tokens: TokenServer) -> None:
    """Every kind that is shown to others, shown."""
    refresh = next(iter(tokens.refresh_tokens))
    kinds = {
        "llm": CredentialConfig.outbound_llm_api_key(canary("llm"), "openai"),
        "tool": CredentialConfig.outbound_tool_api_key(canary("tool"), "X-Key"),
        "query": CredentialConfig.outbound_tool_api_key(canary("query"), query_key="key"),
        "basic": CredentialConfig.outbound_tool_basic("ann", canary("password")),
        "jwt": CredentialConfig.outbound_tool_jwt(canary("token")),
        "ak": CredentialConfig.outbound_tool_ak_sk("aliyun", "AK", canary("access-key"), "1"),
        "custom-ak": CredentialConfig.outbound_tool_ak_sk_custom({"key": canary("part")}),
        "headers": CredentialConfig.outbound_tool_custom_header({"X-Token": canary("header")}),
        "client": CredentialConfig.outbound_oauth2_client_credentials(tokens.token_url, "client", tokens.client_secret),
        "refresh": CredentialConfig.outbound_oauth2_refresh_token(
            tokens.token_url, "client", tokens.client_secret, refresh
        ),
        "refused": CredentialConfig.outbound_oauth2_client_credentials(tokens.token_url, "client", canary("wrong")),
        "broken": CredentialConfig.outbound_tool_jwt(canary("token") + "\r\n"),
    }
    for name, given in kinds.items():
        credential = create(ground, name, given)
        auth = credential.auth()
        with httpx.Client(auth=auth, trust_env=False) as client:
            try:
                client.get(f"{tokens.url}/resource")
            except AgentRunError as error:
                ground.note(error)
        credential.update(description="changed", credential_config=given)
        ground.note(list(Credential.list_all(config=ground.config)))


def models(ground: Ground) -> None:
    """Model services and proxies whose keys are used, and repeated by a careless provider."""
    config, url = ground.config, f"{ground.provider.url}/v1"
    create(ground, "proxy-key", CredentialConfig.inbound_api_key(key := canary("proxy-key")))
    for name, own in (("by-credential", None), ("by-itself", canary("own-key"))):
        settings = ProviderSettings(base_url=url, model_names=["m", "broken"], api_key=own)
        service = ModelService.create(
            config=config,
            model_service_name=name,
            model_type="llm",
            provider="openai",
            provider_settings=settings,
            credential_name=None if own else "llm",
        )
        ground.note(f"{service!r} {settings!r}")
        proxy = ModelProxy.create(
            config=config,
            model_proxy_name=f"proxy-{name}",
            proxy_config=ProxyConfig(endpoints=[ProxyConfigEndpoint(model_service_name=name)]),
            credential_name="proxy-key",
        )
        for model in ("m", "broken"):
            for presented in (key, canary("wrong-key")):
                answered = httpx.post(
                    f"{proxy.endpoint}/v1/chat/completions",
                    json={"model": model, "messages": HELLO},
                    headers={"authorization": f"Bearer {presented}"},
                    trust_env=False,
                    timeout=60,
                )
                assert answered.status_code == 200 if (model, presented) == ("m", key) else answered.is_error
                ground.note(f"{answered.headers} {answered.text}")
            with contextlib.suppress(AgentRunError):
                ground.note(service.completion(HELLO, model=model))


def agents(ground: Ground, tokens: TokenServer) -> None:
    """An agent behind every kind of inbound credential; `tokens` shows its keys."""
    key = SigningKey.ec()
    tokens.keys = [key.public]
    users = [CredentialBasicAuth(username="bob", password=(password := canary("inbound-password")))]
    ground.note(users)
    pair = base64.b64encode(f"bob:{password}".encode()).decode()
    guards = {
        "door-key": (CredentialConfig.inbound_api_key(shown := canary("inbound-key")), f"Bearer {shown}"),
        "door-users": (CredentialConfig.inbound_basic(users), f"Basic {pair}"),
        "door-static": (CredentialConfig.inbound_static_jwt(json.dumps({"keys": [key.public]})), None),
        "door-remote": (CredentialConfig.inbound_remote_jwt(f"{tokens.url}/jwks"), None),
    }
    for name, (given, _) in guards.items():
        create(ground, name, given)
    code = AgentRuntimeCode(
        zip_file=base64.b64encode(agent()).decode(),
        language=AgentRuntimeLanguage.PYTHON312,
        command=["python3", "main.py"],
    )
    runtime = AgentRuntime.create(
        config=ground.config, agent_runtime_name="agent", credential_name="door-key", code_configuration=code
    ).wait_until_ready(interval_seconds=0.1)
    for name, (_, header) in guards.items():
        runtime.update(credential_name=name).wait_until_ready(interval_seconds=0.1)
        right = header or f"Bearer {key.token(sub=canary('subject'))}"
        for sent in (right, f"Bearer {canary('wrong')}", f"Basic {canary('wrong')}"):
            answered = ground.client.post(CALL, content=b"hi", headers={"authorization": sent})
            assert answered.status_code == (201 if sent == right else 401), (name, answered.text)
            ground.note(f"{answered.headers} {answered.text}")
    Credential.update_by_name(
        "door-key",
        config=ground.config,
        credential_config=CredentialConfig.inbound_api_key(canary("following")),
        previous_valid_seconds=600,
    )


def refusals(ground: Ground) -> None:
    """What is refused with a secret in it."""
    account, secret = ground.account, canary("refused")
    bodies: list[tuple[str, str, Any]] = [
        ("POST", CREDENTIALS, {"credentialName": "x", "credentialSecret": [secret]}),
        ("POST", CREDENTIALS, {"credentialName": "x", "credentialPublicConfig": secret}),
        ("PUT", f"{CREDENTIALS}/tool", {"credentialPublicConfig": {"users": [{"username": "u", "passwort": secret}]}}),
        ("PUT", f"{CREDENTIALS}/door-static", {"credentialPublicConfig": {"jwks": '{"keys": "' + secret + '"}'}}),
        (
            "PUT",
            f"{CREDENTIALS}/client",
            {"credentialPublicConfig": {"authType": "oauth2", "authConfig": {"a": secret}}},
        ),
        ("POST", MODEL_SERVICES, {"modelServiceName": "x", "providerSettings": {"apikey": secret}}),
        ("POST", RUNTIMES, {"agentRuntimeName": "x", "environmentVariables": [secret]}),
    ]
    for method, path, body in bodies:
        answered = account.call(method, path, body)
        assert answered.status_code == 400, answered.text
        ground.note(f"{answered.headers} {answered.text}")


def sandboxes(ground: Ground) -> None:
    """A sandbox of an account that has all these secrets."""
    Template.create(
        config=ground.config,
        template_name="python",
        template_type=TemplateType.CODE_INTERPRETER,
        credential_configuration={"credential_name": "door-key"},
    )
    ground.sandbox = Sandbox.create(TemplateType.CODE_INTERPRETER, "python", config=ground.config).wait_until_healthy()


def tools(ground: Ground, elsewhere: Elsewhere) -> None:
    """Tools that are functions and remote servers, and those that run here, with secrets of their own."""
    account = ground.account
    for name in ("tool", "basic", "headers", "client", "refresh", "ak"):
        tool = function(api(elsewhere.echo), toolName=f"function-{name}", credentialName=name)
        made(account, tool)
        shown = account.data("POST", f"/tools/function-{name}/items", b"x")
        # The refresh token has been used up by then, so its server refuses the one that was given.
        assert shown.status_code == (409 if name == "refresh" else 200), shown.text
        if name == "refresh":
            ground.note(shown.text)
    spec = remote(f"{elsewhere.echo}/mcp", headers={"X-Own": canary("own"), "X-Named": "${credential:tool}"})
    made(account, mcp_remote(spec, toolName="remote", credentialName="headers"))
    seen = account.data("POST", "/tools/remote/mcp", b"{}").json()["headers"]
    assert holds(seen["x-own"])
    assert holds(seen["x-named"])
    variables = {"VALUE": "${credential:tool}", ASKED: "yes"}
    made(account, packaged(PLAIN, name="hosted", environmentVariables=variables))
    made(account, packaged(PLAIN, name="hosted-alone", environmentVariables={"KEEP": canary("variable"), ASKED: "yes"}))
    for name in ("hosted", "hosted-alone"):
        assert any(holds(value) for value in begun(account, f"/tools/{name}/mcp").call("environment").values())
        ground.logs.append(f"/tool-logs/{name}")
    account.done("POST", TOOLS, packaged("raise SystemExit(1)", name="fails", environmentVariables=variables))
    ground.note(settled(account, "fails")["statusReason"])
    account.done("POST", TOOLS, packaged(PLAIN, name="lacks", environmentVariables={"A": "${credential:headers:no}"}))
    ground.note(settled(account, "lacks")["statusReason"])
    Credential.update_by_name("tool", config=ground.config, enabled=False)
    ground.note(account.data("POST", "/tools/function-tool/items").text)
    ground.note(account.data("POST", "/tools/remote/mcp").text)
    Credential.update_by_name("tool", config=ground.config, enabled=True)
    ground.note(account.call("GET", TOOLS).text)


def tool_sets(ground: Ground, elsewhere: Elsewhere) -> None:
    """Tool sets with references, and with a key of their own."""
    account = ground.account
    headers = {"X-Own": canary("own"), "X-Named": "${credential:tool}"}
    uid = done(account, "POST", SETS, toolset("far", remote(f"{elsewhere.echo}/mcp", headers=headers), "MCP"))["uid"]
    seen = account.data("POST", f"/toolsets/{uid}/mcp", b"{}").json()["headers"]
    assert holds(seen["x-own"])
    assert holds(seen["x-named"])
    detail = local("python3", "-c", PLAIN, VALUE="${credential:tool}", **{ASKED: "yes"})
    near = done(account, "POST", SETS, toolset("near", detail, "MCP"))["uid"]
    assert holds(begun(account, f"/toolsets/{near}/mcp").call("environment")["VALUE"])
    parameter = {"encrypted": False, "in": "header", "key": "X-Key", "value": canary("parameter")}
    keyed = toolset("keyed")
    keyed["spec"]["authConfig"] = {"type": "APIKey", "parameters": {"apiKeyParameter": parameter}}
    done(account, "POST", SETS, keyed)
    ground.note(account.call("GET", SETS).text)


def knowledge(ground: Ground) -> None:
    """A knowledge base that is searched with its key, with a wrong one, and with one that is disabled."""
    create(ground, "rag", CredentialConfig.outbound_tool_api_key(key := canary("rag")))
    base = KnowledgeBase.create(
        config=ground.config,
        knowledge_base_name="rag",
        provider="ragflow",
        provider_settings={"base_url": "http://127.0.0.1:1", "dataset_ids": ["d"]},
        credential_name="rag",
    )
    base.add_documents(["Refunds take a week."])
    ground.note(base.retrieve("refunds"))
    url = f"{ground.record.url}/ragflow/{base.knowledge_base_id}/api/v1/retrieval"
    body = {"question": "refunds", "dataset_ids": ["d"]}
    for shown in (key, canary("wrong")):
        ground.note(httpx.post(url, json=body, headers={"authorization": f"Bearer {shown}"}, trust_env=False).text)
    Credential.update_by_name("rag", config=ground.config, enabled=False)
    ground.note(httpx.post(url, json=body, headers={"authorization": f"Bearer {key}"}, trust_env=False).text)


def asking(ground: Ground) -> None:
    """An agent that was given a secret itself, and one that names a part that is not there."""
    variables = {"VALUE": "${credential:tool}", ASKED: "yes"}
    deployed(ground.account, "asking", environmentVariables=variables)
    path = "/agent-runtimes/asking/endpoints/Default"
    assert holds(ground.account.data("GET", f"{path}/invocations/environment").json()["VALUE"])
    ground.logs.append(f"{path}/logs")
    failed = deployed(ground.account, "lacking", environmentVariables={"A": "${credential:tool:password}"})
    ground.note(ground.account.done("GET", failed))


def placeholders(ground: Ground, elsewhere: Elsewhere) -> None:
    """A sandbox, and the MCP server of a template, whose code uses a secret that is not in there."""
    config, secure = ground.config, elsewhere.secure
    plain = elsewhere.echo.replace("127.0.0.1", "127.0.0.2")
    create(ground, "inside", CredentialConfig.outbound_tool_api_key(canary("inside")).for_hosts(secure.host))
    Template.create(
        config=config,
        template_name="with-secret",
        template_type=TemplateType.CODE_INTERPRETER,
        credential_configuration={"credential_name": "inside"},
    )
    network = NetworkPolicy.allow(NetworkRule(cidr="127.0.0.2/32"))
    box = Sandbox.create(
        TemplateType.CODE_INTERPRETER,
        "with-secret",
        config=config,
        network=network,
        credentials=[SandboxCredential.of("inside", "INSIDE")],
    ).wait_until_healthy()
    ground.using = box
    for url in (f"{secure.url}/x", f"{secure.url}/header", f"{secure.url}/chunks", plain):
        command = f'curl -s -i -H "Authorization: Bearer $INSIDE" {url} | tee -a /tmp/said /home/user/kept'
        ground.note(box.process.cmd(command, timeout=60).stdout)
    assert holds(json.dumps(secure.last["headers"])), "the secret was sent"
    Credential.update_by_name("inside", config=config, enabled=False)
    ground.note(box.process.cmd(f'curl -s -H "Authorization: $INSIDE" {secure.url}/', timeout=60).stdout)
    Credential.update_by_name("inside", config=config, enabled=True)
    use = box.credential_use()
    assert use.refusals
    assert use.credentials[0].uses == 3
    ground.note(use)
    ground.note(box)
    ground.account.done("PATCH", f"{TEMPLATES}/with-secret/mcp/activate", {"transport": "streamable-http"})
    session = begun(ground.account, "/templates/with-secret/mcp")
    ground.note(session.ask("tools/call", name="process_exec_cmd", arguments={"command": "env; ps axe"}))


def test_no_secret_is_anywhere(used: Ground) -> None:
    assert used.leaks() == {}


def test_what_was_done_is_what_could_have_leaked(used: Ground, tokens: TokenServer) -> None:
    """The scenario has had its effects: no place is empty, and the secrets were really used."""
    names = {path.name for path in used.folder.rglob("*") if path.is_file()}
    assert {"emulator.db", "emulator.db-wal", "recording.jsonl", "vault.key", "log"} <= names
    assert (used.folder / "recording.jsonl").stat().st_size > 500
    assert any(holds(request.headers.get("authorization", "")) for request in used.provider.requests)
    assert any(b"agentrun.proxy" in each.body or each.body[:2] == b"\x1f\x8b" for each in used.spans.requests)
    assert len(used.said) > 50
    assert tokens.given
    assert "gateway" in used.client.get("/_emulator/metrics").text


def test_secrets_are_still_known_to_the_platform(used: Ground) -> None:
    """What is not written down is not lost either."""
    assert holds(used.account.call("GET", f"{CREDENTIALS}/llm").text)
    for name in ("basic", "headers", "refresh", "door-users"):
        assert holds(json.dumps(used.account.done("GET", f"{CREDENTIALS}/{name}")["credentialPublicConfig"]))


# The search itself: what is planted is found, in each place


def test_a_secret_that_is_planted_is_found(tokens: TokenServer) -> None:
    """In an emulator of its own, because it is to leak there."""
    with ground() as found:
        sandboxes_of = found.config
        Template.create(config=sandboxes_of, template_name="python", template_type=TemplateType.CODE_INTERPRETER)
        found.sandbox = Sandbox.create(
            TemplateType.CODE_INTERPRETER, "python", config=sandboxes_of
        ).wait_until_healthy()
        clean = found.leaks()
        assert clean == {}
        planted = plant(found)
        try:
            leaks = found.leaks()
        finally:
            planted.kill()
            planted.wait()
        # What tells of the emulator itself says nothing that a user gives, so nothing can be planted there.
        assert set(leaks) == set(found.places) - {"status"}, leaks
        assert {path.rpartition("/")[2] for path in leaks["files"]} >= {"planted.db", "log", "recording.jsonl"}


def plant(ground: Ground) -> subprocess.Popen[bytes]:
    """Put a secret into each place, as a mistake of ours would."""
    secret, config = canary("planted"), ground.config
    with contextlib.closing(sqlite3.connect(ground.folder / "state" / "planted.db")) as database:
        database.execute("CREATE TABLE t (document TEXT)")
        database.execute("INSERT INTO t VALUES (?)", (json.dumps({"credentialSecret": secret}),))
        database.commit()
    with open(ground.folder / "log", "a") as log:
        log.write(f"the secret is {secret}\n")
    ground.client.get(f"/sandboxes/{secret}")
    ground.note(AgentRunError(f"the secret is {secret}"))
    endpoint = ProxyConfigEndpoint(base_url=f"{ground.provider.url}/v1", model_names=[secret])
    proxy = ModelProxy.create(
        config=config, model_proxy_name=f"proxy-{secret}", proxy_config=ProxyConfig(endpoints=[endpoint])
    )
    proxy.completion([{"role": "user", "content": f"my name is {secret}"}])
    assert ground.sandbox
    tool = packaged(PLAIN.replace("the server has started", secret), name="says")
    made(ground.account, tool)
    begun(ground.account, "/tools/says/mcp")
    ground.logs.append("/tool-logs/says")
    ground.sandbox.context.execute(f"open('/tmp/planted', 'w').write({secret!r})")
    planted = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", secret])
    ground.started.append(planted.pid)
    time.sleep(0.5)
    return planted


@pytest.mark.parametrize("before", range(4))
def test_a_secret_is_found_however_it_is_written(before: int, tmp_path: Any) -> None:
    secret = b"x" * before + canary().encode()
    for written in (
        secret,
        base64.b64encode(secret),
        base64.urlsafe_b64encode(secret),
        secret.hex().encode(),
        secret.decode().encode("utf-16"),
        gzip.compress(secret),
    ):
        assert holds(b"before " + written + b" after" if written[:2] != b"\x1f\x8b" else written)
    assert not holds(base64.b64encode(b"x" * 1000 + MARK[:-4].encode()))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / MARK).write_text("x")
    (tmp_path / "a" / "b").write_bytes(secret)
    assert len(files_below(tmp_path)) == 2


def test_a_secret_in_an_environment_is_found() -> None:
    with serving():
        process = subprocess.Popen(["sleep", "60"], env={"PATH": "/usr/bin:/bin", "X": canary()})
        try:
            # It is there from a moment after the program was started.
            while not Path(f"/proc/{process.pid}/environ").read_bytes():
                time.sleep(0.001)
            assert processes([process.pid]) == [f"environ of {process.pid}"]
        finally:
            process.kill()
            process.wait()
