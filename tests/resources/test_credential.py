"""Credentials, every method in both modes, against the emulator over signed HTTP."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from agentrun.config import Config
from agentrun.credential import (
    Credential,
    CredentialAuthType,
    CredentialBasicAuth,
    CredentialClient,
    CredentialConfig,
    CredentialControlAPI,
    CredentialCreateInput,
    CredentialListInput,
    CredentialListOutput,
    CredentialSourceType,
    CredentialUpdateInput,
)
from agentrun.emulator import Emulator
from agentrun.errors import (
    AgentRunError,
    AuthenticationError,
    ConfigError,
    Executed,
    InvalidInputError,
    ResourceAlreadyExistError,
    ResourceNotExistError,
)
from tests.canary import canary
from tests.resources.modes import Mode

SECRET = canary("SK-hidden")
TOOL_KEY = CredentialConfig.outbound_tool_api_key(SECRET)

KINDS: dict[str, tuple[CredentialConfig, str, str, Any, str]] = {
    "inbound API key": (
        CredentialConfig.inbound_api_key(SECRET, "X-Key"),
        "api_key",
        "internal",
        {"headerKey": "X-Key"},
        SECRET,
    ),
    "inbound static token": (
        CredentialConfig.inbound_static_jwt('{"keys": []}'),
        "jwt",
        "internal",
        {"authType": "static", "jwks": '{"keys": []}'},
        "",
    ),
    "inbound remote token": (
        CredentialConfig.inbound_remote_jwt("https://x/jwks", timeout=1, ttl=2),
        "jwt",
        "internal",
        {"authType": "remote", "remoteConfig": {"uri": "https://x/jwks", "timeout": 1, "ttl": 2}},
        "",
    ),
    "inbound users": (
        CredentialConfig.inbound_basic([CredentialBasicAuth(username="u", password="p")]),
        "basic",
        "internal",
        {"users": [{"username": "u", "password": "p"}]},
        "",
    ),
    "a model's key": (
        CredentialConfig.outbound_llm_api_key(SECRET, "tongyi"),
        "api_key",
        "external_llm",
        {"provider": "tongyi"},
        SECRET,
    ),
    "a tool's key": (TOOL_KEY, "api_key", "external_tool", {}, SECRET),
    "an access key": (
        CredentialConfig.outbound_tool_ak_sk("aliyun", "AK", SECRET, "1"),
        "ak_sk",
        "external_tool",
        {"provider": "aliyun", "authConfig": {"accessKey": "AK", "accountId": "1"}},
        SECRET,
    ),
    "an access key of one's own": (
        CredentialConfig.outbound_tool_ak_sk_custom({"id": "a", "key": "b"}),
        "ak_sk",
        "external_tool",
        {"provider": "custom", "authConfig": {"id": "a", "key": "b"}},
        "",
    ),
    "headers": (
        CredentialConfig.outbound_tool_custom_header({"X-Token": "t"}),
        "custom_header",
        "external_tool",
        {"authConfig": {"X-Token": "t"}},
        "",
    ),
}


def created(call: Mode, config: Config, name: str = "one", **fields: Any) -> Credential:
    values = {"credential_name": name, "credential_config": TOOL_KEY, **fields}
    found: Credential = call(Credential, "create", config=config, **values)
    return found


# Create


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_kept_as_it_was_given(call: Mode, config: Config, kind: str) -> None:
    given, auth, source, public, secret = KINDS[kind]
    created(call, config, credential_config=given)
    found = call(Credential, "get_by_name", "one", config=config)
    assert (found.credential_auth_type, found.credential_source_type) == (auth, source)
    assert public.items() <= found.credential_public_config.items()
    assert (found.credential_secret or "") == secret


def test_create_from_keywords(call: Mode, config: Config) -> None:
    credential = created(call, config, description="d", enabled=False)
    assert (credential.credential_name, credential.description, credential.enabled) == ("one", "d", False)
    assert credential.credential_id
    assert credential.created_at
    assert credential.related_resources == []


def test_create_from_an_input(call: Mode, config: Config) -> None:
    wanted = CredentialCreateInput(credential_name="one", credential_config=TOOL_KEY, description="d")
    for owner in (Credential, CredentialClient(config)):
        if owner is Credential:
            credential = call(owner, "create", wanted, config)
        else:
            credential = call(owner, "create", wanted.model_copy(update={"credential_name": "two"}))
        assert (type(credential), credential.description, credential.enabled) == (Credential, "d", True)


def test_a_nested_config_as_a_dictionary(call: Mode, config: Config) -> None:
    given = {"credential_auth_type": "api_key", "credential_source_type": "external_tool", "credential_secret": "s"}
    assert created(call, config, credential_config=given).credential_secret == "s"


def test_the_name_is_taken(call: Mode, config: Config) -> None:
    created(call, config)
    with pytest.raises(ResourceAlreadyExistError, match="Credential 'one' already exists") as caught:
        created(call, config)
    error = caught.value
    assert (error.resource_type, error.resource_id) == ("Credential", "one")
    assert error.status_code in (400, 409)
    assert error.request_id
    assert error.executed is Executed.NO


def test_a_misspelt_field_is_named(call: Mode, config: Config) -> None:
    with pytest.raises(InvalidInputError, match="Did you mean credential_name"):
        call(Credential, "create", config=config, credentialname="x", credential_config=TOOL_KEY)
    with pytest.raises(InvalidInputError, match="Did you mean credential_secret"):
        call(Credential, "create", config=config, credential_name="x", credential_config={"credential_secrt": "s"})


def test_an_input_and_keywords_do_not_mix(call: Mode, config: Config) -> None:
    wanted = CredentialCreateInput(credential_name="one", credential_config=TOOL_KEY)
    with pytest.raises(InvalidInputError, match="not both"):
        call(Credential, "create", wanted, config, description="d")


# Read, change, delete, by name and on the object


def test_get_by_name(call: Mode, config: Config) -> None:
    made = created(call, config)
    found = call(Credential, "get_by_name", "one", config)
    assert (found.credential_id, found.credential_secret) == (made.credential_id, SECRET)


def test_update_by_name_changes_only_what_is_given(call: Mode, config: Config) -> None:
    created(call, config, description="before")
    updated = call(Credential, "update_by_name", "one", config=config, enabled=False)
    assert (updated.description, updated.enabled, updated.credential_secret) == ("before", False, SECRET)
    updated = call(Credential, "update_by_name", "one", CredentialUpdateInput(description="after"), config)
    assert (updated.description, updated.enabled) == ("after", False)


def test_update_the_secret(call: Mode, config: Config) -> None:
    created(call, config)
    changed = CredentialConfig.outbound_tool_api_key("another-hidden")
    call(Credential, "update_by_name", "one", config=config, credential_config=changed)
    found = call(Credential, "get_by_name", "one", config)
    assert (found.credential_secret, found.credential_auth_type) == ("another-hidden", "api_key")


def test_delete_by_name(call: Mode, config: Config) -> None:
    created(call, config)
    assert call(Credential, "delete_by_name", "one", config).credential_name == "one"
    with pytest.raises(ResourceNotExistError):
        call(Credential, "get_by_name", "one", config)


def test_the_object_changes_and_comes_back(call: Mode, config: Config) -> None:
    credential = created(call, config)
    for method, fields in (("get", {}), ("refresh", {}), ("update", {"description": "x"}), ("delete", {})):
        assert call(credential, method, **fields) is credential
    assert credential.description == "x"


def test_verbs_chain(config: Config) -> None:
    credential = Credential.create(config=config, credential_name="one", credential_config=TOOL_KEY)
    gone = credential.update(description="a").refresh().update(enabled=False).get().delete()
    assert (gone is credential, gone.description, gone.enabled) == (True, "a", False)


def test_the_object_sees_what_others_changed(call: Mode, config: Config) -> None:
    credential = created(call, config)
    call(Credential, "update_by_name", "one", config=config, description="by another")
    assert call(credential, "get").description == "by another"


def test_the_object_takes_an_input(call: Mode, config: Config) -> None:
    credential = created(call, config)
    assert call(credential, "update", CredentialUpdateInput(enabled=False)).enabled is False


def test_a_credential_is_ready_at_once(call: Mode, config: Config) -> None:
    seen: list[Any] = []
    credential = created(call, config)
    assert call(credential, "wait_until_ready_or_failed", seen.append, timeout_seconds=2) is credential
    assert seen == [credential]


def test_delete_and_wait(call: Mode, config: Config) -> None:
    credential = created(call, config)
    for _ in range(2):  # One that is gone already is no error.
        assert call(credential, "delete_and_wait_until_finished", interval_seconds=0.05) is credential
    assert list(Credential.list_all(config=config)) == []


MISSING: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("get_by_name", ("none",), {}),
    ("update_by_name", ("none",), {"description": "x"}),
    ("delete_by_name", ("none",), {}),
]


@pytest.mark.parametrize(("method", "arguments", "fields"), MISSING)
def test_what_is_missing(
    call: Mode, config: Config, method: str, arguments: tuple[Any, ...], fields: dict[str, Any]
) -> None:
    with pytest.raises(ResourceNotExistError, match="Credential 'none' does not exist") as caught:
        call(Credential, method, *arguments, config=config, **fields)
    assert caught.value.status_code == 404
    assert caught.value.request_id
    with pytest.raises(ResourceNotExistError):
        call(CredentialClient(config), method.removesuffix("_by_name"), *arguments, **fields)


def test_the_object_of_what_is_gone(call: Mode, config: Config) -> None:
    credential = created(call, config)
    call(credential, "delete")
    for method in ("get", "refresh", "update", "delete"):
        with pytest.raises(ResourceNotExistError, match="'one'"):
            call(credential, method)


@pytest.mark.parametrize("name", ["", "..", "."])
def test_what_is_no_name(call: Mode, config: Config, name: str) -> None:
    with pytest.raises(InvalidInputError):
        call(Credential, "get_by_name", name, config)


@pytest.mark.parametrize("name", ["a/b", "ü n", "a%2Fb", "a?b#c"])
def test_names_stay_one_segment(call: Mode, config: Config, name: str) -> None:
    with pytest.raises(ResourceNotExistError) as caught:
        call(Credential, "get_by_name", name, config)
    assert caught.value.resource_id == name


# Lists


def filled(config: Config) -> None:
    for name, kind in (("model-1", "a model's key"), ("tool-1", "a tool's key"), ("tool-2", "headers")):
        Credential.create(config=config, credential_name=name, credential_config=KINDS[kind][0])


def names(found: Any) -> list[str]:
    assert all(type(item) is CredentialListOutput for item in found)
    return sorted(item.credential_name for item in found)


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["model-1", "tool-1", "tool-2"]),
    ({"credential_auth_type": CredentialAuthType.API_KEY}, ["model-1", "tool-1"]),
    ({"credential_auth_type": "custom_header"}, ["tool-2"]),
    ({"credential_source_type": CredentialSourceType.LLM}, ["model-1"]),
    ({"credential_source_type": "internal"}, []),
    ({"credential_name": "tool-1"}, ["tool-1"]),
    ({"provider": "tongyi"}, ["model-1"]),
    ({"credential_auth_type": "api_key", "credential_source_type": "external_tool"}, ["tool-1"]),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
def test_list_all(call: Mode, config: Config, filters: dict[str, Any], expected: list[str]) -> None:
    filled(config)
    assert names(call(Credential, "list_all", config=config, **filters)) == expected
    assert names(call(CredentialClient(config), "list", **filters)) == expected


def test_a_filter_that_does_not_exist(call: Mode, config: Config) -> None:
    with pytest.raises(InvalidInputError, match="credential_auth_type"):
        call(Credential, "list_all", config=config, credential_auth_type="apikey")


def test_a_long_list_is_read_page_by_page(emulator: Emulator, config: Config) -> None:
    for number in range(120):
        Credential.create(config=config, credential_name=f"n-{number:03}", credential_config=TOOL_KEY)
    before = listings(emulator)
    items = Credential.list_all(config=config)
    assert listings(emulator) == before, "nothing is read before somebody looks"
    assert items[0].credential_name
    assert listings(emulator) == before + 1
    assert len({item.credential_name for item in items}) == len(items) == 120
    assert listings(emulator) == before + 3


def listings(emulator: Emulator) -> int:
    return sum(entry.operation == "ListCredentials" for entry in emulator.journal.entries())


@pytest.mark.asyncio
async def test_an_asynchronous_list_is_looped_over(config: Config) -> None:
    await Credential.create_async(config=config, credential_name="one", credential_config=TOOL_KEY)
    assert [item.credential_name async for item in Credential.list_all_async(config=config)] == ["one"]


def test_a_list_has_no_secrets_and_leads_to_them(call: Mode, config: Config) -> None:
    created(call, config)
    item = next(iter(call(Credential, "list_all", config=config)))
    assert "hidden" not in str(item.model_dump())
    found = call(item, "to_credential", config)
    assert (type(found), found.credential_secret) == (Credential, SECRET)


def test_one_page(call: Mode, config: Config) -> None:
    filled(config)
    client = CredentialClient(config)
    pages = [call(client, "list", CredentialListInput(page_number=number, page_size=2)) for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [2, 1, 0]
    assert sorted(item.credential_name for page in pages for item in page) == ["model-1", "tool-1", "tool-2"]


# The client, and the operations below


def test_the_client(call: Mode, config: Config) -> None:
    client = CredentialClient(config)
    made = call(client, "create", credential_name="one", credential_config=TOOL_KEY)
    assert call(made, "get").credential_id == made.credential_id, "the object keeps the client's Config"
    assert call(client, "get", "one").credential_secret == SECRET
    assert call(client, "update", "one", CredentialUpdateInput(description="d")).description == "d"
    assert call(client, "update", "one", description="e").description == "e"
    assert call(client, "delete", "one").credential_name == "one"
    assert call(client, "list") == []


def test_the_config_of_a_call_wins(call: Mode, emulator: Emulator, config: Config) -> None:
    other = emulator.config(f"{config.access_key_id}-other")
    client = CredentialClient(other)
    call(client, "create", config=config, credential_name="one", credential_config=TOOL_KEY)
    assert call(client, "list") == []
    assert names(call(client, "list", config=config)) == ["one"]


def test_the_control_api_speaks_the_wire(call: Mode, config: Config) -> None:
    api = CredentialControlAPI(config)
    wanted = CredentialCreateInput(credential_name="one", credential_config=TOOL_KEY)
    assert call(api, "create_credential", wanted)["credentialName"] == "one"
    assert call(api, "get_credential", "one")["credentialSecret"] == SECRET
    changed = call(api, "update_credential", "one", CredentialUpdateInput(description="d"))
    assert changed["description"] == "d"
    assert len(call(api, "list_credentials", CredentialListInput())["items"]) == 1
    assert call(api, "delete_credential", "one")["credentialName"] == "one"


# Whose, and how secret


def test_accounts_do_not_see_each_other(call: Mode, emulator: Emulator, config: Config) -> None:
    created(call, config)
    other = emulator.config(f"{config.access_key_id}-other")
    assert list(Credential.list_all(config=other)) == []
    with pytest.raises(ResourceNotExistError):
        call(Credential, "get_by_name", "one", other)
    assert created(call, other).credential_name == "one"


def test_a_wrong_secret_is_refused(call: Mode, config: Config) -> None:
    wrong = config.replace(access_key_secret=SECRET)
    with pytest.raises(AuthenticationError) as caught:
        call(Credential, "get_by_name", "one", wrong)
    assert caught.value.executed is Executed.NO
    assert "hidden" not in f"{caught.value!r} {caught.value} {caught.value.response_body}"


def test_the_environment_is_enough(call: Mode, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in emulator.environment("key-of-the-environment").items():
        monkeypatch.setenv(name, value)
    call(Credential, "create", credential_name=f"one-{call.name}", credential_config=TOOL_KEY)
    assert call(Credential, "get_by_name", f"one-{call.name}").get().delete().credential_secret == SECRET


def test_no_key_says_what_to_do(call: Mode, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in emulator.environment():
        monkeypatch.setenv(name, "")
    keyless = Config(control_endpoint=emulator.url, headers={"X-API-Key": "k"})
    with pytest.raises(ConfigError, match="AGENTRUN_ACCESS_KEY_ID"):
        call(Credential, "get_by_name", "one", keyless)


def test_no_secret_shows(call: Mode, config: Config) -> None:
    credential = created(call, config)
    assert "hidden" not in f"{credential} {credential!r} {[credential]}"
    assert "hidden" not in str(pickle.dumps(config))


def test_copies_keep_the_config(call: Mode, config: Config) -> None:
    credential = created(call, config)
    for twin in (credential.model_copy(), credential.model_copy(deep=True), copy.deepcopy(credential)):
        assert call(twin, "get").credential_secret == SECRET


@pytest.mark.parametrize("by", ["its own transport", "the environment"])
def test_over_tls(call: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str) -> None:
    with Emulator(tls=True, state=tmp_path / "state") as emulator:
        config = emulator.config("key-over-tls")
        if by == "the environment":
            monkeypatch.setenv("SSL_CERT_FILE", emulator.environment()["SSL_CERT_FILE"])
            config = config.replace(transport=None)
        config.close()  # What was opened before trusts nobody but the public authorities.
        assert config.get_control_endpoint().startswith("https://")
        assert created(call, config).get().credential_secret == SECRET
        config.close()


def test_a_certificate_that_nobody_trusts(call: Mode, tmp_path: Path) -> None:
    with Emulator(tls=True, state=tmp_path / "state") as emulator:
        config = emulator.config("key-over-tls", max_retries=0, transport=None)
        config.close()
        with pytest.raises(AgentRunError, match="certificate"):
            created(call, config)
        config.close()
