"""Settings: who wins, what is merged, and that no secret shows."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import logging
import pickle
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from agentrun._core import local
from agentrun._core.credentials import (
    StsCredential,
    get_request_sts,
    reset_request_sts,
    set_request_sts,
    sts_from_headers,
    use_sts_credentials,
    use_sts_from_headers,
)
from agentrun.config import Config
from agentrun.errors import AgentRunError, ConfigError

KEY_PARTS = ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN")
KEY_VARIABLES = [f"{family}_{part}" for family in ("AGENTRUN", "ALIBABA_CLOUD") for part in KEY_PARTS]
VARIABLES = [
    *KEY_VARIABLES,
    *(f"AGENTRUN_STS_HEADER_{part}" for part in KEY_PARTS),
    "AGENTRUN_ACCOUNT_ID",
    "FC_ACCOUNT_ID",
    "AGENTRUN_REGION",
    "FC_REGION",
    "AGENTRUN_CONTROL_ENDPOINT",
    "AGENTRUN_DATA_ENDPOINT",
    "DEVS_ENDPOINT",
    "BAILIAN_ENDPOINT",
    "GPDB_ENDPOINT",
    "AGENTRUN_KB_USE_VPC",
]
KEY: dict[str, Any] = {"access_key_id": "AK", "access_key_secret": "SK-hidden"}
SECRETS: dict[str, Any] = {
    **KEY,
    "security_token": "ST-hidden",
    "token": "TK-hidden",
    "headers": {"X-API-Key": "HD-hidden"},
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


# Getters: field, variables in order, getter, default

GETTERS: list[tuple[str, tuple[str, ...], Callable[[Config], Any], Any]] = [
    ("account_id", ("AGENTRUN_ACCOUNT_ID", "FC_ACCOUNT_ID"), Config.get_account_id, None),
    ("region_id", ("AGENTRUN_REGION", "FC_REGION"), Config.get_region_id, "cn-hangzhou"),
    (
        "control_endpoint",
        ("AGENTRUN_CONTROL_ENDPOINT",),
        Config.get_control_endpoint,
        "https://agentrun.cn-hangzhou.aliyuncs.com",
    ),
    ("data_endpoint", ("AGENTRUN_DATA_ENDPOINT",), Config.get_data_endpoint, None),
    ("devs_endpoint", ("DEVS_ENDPOINT",), Config.get_devs_endpoint, "https://devs.cn-hangzhou.aliyuncs.com"),
    ("bailian_endpoint", ("BAILIAN_ENDPOINT",), Config.get_bailian_endpoint, "https://bailian.cn-beijing.aliyuncs.com"),
    ("gpdb_endpoint", ("GPDB_ENDPOINT",), Config.get_gpdb_endpoint, "https://gpdb.aliyuncs.com"),
]
IDS = [getter[0] for getter in GETTERS]


def spelled(field: str, value: str) -> str:
    return f"https://{value}" if field.endswith("endpoint") else value


@pytest.mark.parametrize(("field", "variables", "getter", "default"), GETTERS, ids=IDS)
def test_explicit_wins_over_environment_wins_over_default(
    field: str,
    variables: tuple[str, ...],
    getter: Callable[[Config], Any],
    default: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if default is None:
        with pytest.raises(ConfigError, match="AGENTRUN_ACCOUNT_ID"):
            getter(Config())
    else:
        assert getter(Config()) == default
    for name in reversed(variables):  # Each wins over those behind it.
        monkeypatch.setenv(name, f"from-{name.lower().replace('_', '-')}")
        assert getter(Config()) == spelled(field, f"from-{name.lower().replace('_', '-')}")
    given: dict[str, Any] = {field: "explicit"}
    assert getter(Config(**given)) == spelled(field, "explicit")


@pytest.mark.parametrize(("field", "variables", "getter", "default"), GETTERS, ids=IDS)
def test_an_empty_variable_is_no_variable(
    field: str,
    variables: tuple[str, ...],
    getter: Callable[[Config], Any],
    default: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in variables:
        monkeypatch.setenv(name, "")
    if default is not None:
        assert getter(Config()) == default
    monkeypatch.setenv(variables[-1], "last")
    assert getter(Config()) == spelled(field, "last")


def test_variables_are_read_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config()
    monkeypatch.setenv("AGENTRUN_REGION", "cn-beijing")
    assert config.get_region_id() == "cn-beijing"
    assert config.get_control_endpoint() == "https://agentrun.cn-beijing.aliyuncs.com"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("host", "https://host"),
        ("host:8443/", "https://host:8443"),
        ("http://127.0.0.1:4590", "http://127.0.0.1:4590"),
        ("https://host/base/", "https://host/base"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_endpoints_with_and_without_a_scheme(given: str, url: str) -> None:
    assert Config(control_endpoint=given).get_control_endpoint() == url
    assert Config(data_endpoint=given).get_data_endpoint() == url


@pytest.mark.parametrize("given", ["http://[::1", "http://host:port", "ftp://host", "https://", "http://host:99999"])
def test_an_endpoint_that_is_none(given: str) -> None:
    with pytest.raises(ConfigError, match="AGENTRUN_CONTROL_ENDPOINT"):
        Config(control_endpoint=given).get_control_endpoint()


def test_the_cloud_s_data_endpoint_has_account_and_region() -> None:
    config = Config(account_id="123", region_id="cn-beijing")
    assert config.get_data_endpoint() == "https://123.agentrun-data.cn-beijing.aliyuncs.com"


@pytest.mark.parametrize(
    ("endpoint", "signed"),
    [
        ("https://1.agentrun-data.cn-x.aliyuncs.com", "https://1-ram.agentrun-data.cn-x.aliyuncs.com"),
        ("http://1.funagent-data-pre.cn-x.aliyuncs.com", "http://1-ram.funagent-data-pre.cn-x.aliyuncs.com"),
        ("https://1-ram.agentrun-data.cn-x.aliyuncs.com", "https://1-ram.agentrun-data.cn-x.aliyuncs.com"),
        ("http://127.0.0.1:4590", "http://127.0.0.1:4590"),
        ("https://agents.example.com", "https://agents.example.com"),
    ],
)
def test_signed_calls_go_to_the_ram_host(endpoint: str, signed: str) -> None:
    assert Config(**KEY, data_endpoint=endpoint).get_signed_data_endpoint() == signed


def test_calls_without_a_key_stay_on_the_plain_host() -> None:
    config = Config(account_id="1", headers={"X-API-Key": "k"})
    assert config.get_signed_data_endpoint() == "https://1.agentrun-data.cn-hangzhou.aliyuncs.com"


@pytest.mark.parametrize(("value", "flag"), [("", False), ("0", False), ("False", False), ("1", True), ("true", True)])
def test_the_vpc_flag(value: str, flag: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTRUN_KB_USE_VPC", value)
    assert Config().get_use_vpc_endpoint() is flag
    assert Config(use_vpc_endpoint=not flag).get_use_vpc_endpoint() is not flag


def test_times_and_retries() -> None:
    plain, given = Config(), Config(timeout=1, connect_timeout=2, read_timeout=3, max_retries=0)
    assert (plain.get_timeout(), plain.get_connect_timeout(), plain.get_read_timeout()) == (600, 10, 100)
    assert (given.get_timeout(), given.get_connect_timeout(), given.get_read_timeout()) == (1, 2, 3)
    assert (plain.get_max_retries(), given.get_max_retries()) == (2, 0)
    assert (Config(token="t").get_token(), plain.get_token()) == ("t", None)


@pytest.mark.parametrize("name", ["timeout", "read_timeout", "connect_timeout", "max_retries"])
@pytest.mark.parametrize("value", [-1, float("nan"), "5"])
def test_times_that_are_none(name: str, value: Any) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=name):
        Config(**arguments)


def test_no_time_is_no_time() -> None:
    with pytest.raises(ConfigError, match="positive"):
        Config(timeout=0)


def test_headers_are_copied() -> None:
    given = {"a": "1"}
    config = Config(headers=given)
    given["a"] = "2"
    config.get_headers()["a"] = "3"
    assert config.get_headers() == {"a": "1"}
    assert Config(headers=None).get_headers() == {}  # type: ignore[arg-type]  # as the official client allows


def test_the_official_order_of_arguments() -> None:
    config = Config("ak", "sk", "st", "account", "token", "region", 1, 2, "control", "data", "devs", "bailian", True)
    assert (config.access_key_id, config.access_key_secret, config.security_token) == ("ak", "sk", "st")
    assert (config.account_id, config.token, config.region_id) == ("account", "token", "region")
    assert (config.timeout, config.read_timeout, config.use_vpc_endpoint) == (1, 2, True)
    assert (config.control_endpoint, config.data_endpoint) == ("control", "data")
    assert (config.devs_endpoint, config.bailian_endpoint) == ("devs", "bailian")


# Merging


def test_what_nobody_gave_wipes_nothing() -> None:
    given = Config(account_id="1", timeout=5, control_endpoint="http://x", use_vpc_endpoint=True, max_retries=0)
    merged = Config.with_configs(given, Config(), None, Config(region_id="r"))
    assert merged == given.replace(region_id="r")


def test_the_later_one_wins_with_every_field() -> None:
    first: dict[str, Any] = {**SECRETS, "account_id": "1", "region_id": "r", "timeout": 1, "use_vpc_endpoint": True}
    second: dict[str, Any] = {"access_key_id": "B", "access_key_secret": "b", "security_token": "c", "account_id": "2"}
    second |= {"region_id": "s", "timeout": 2, "use_vpc_endpoint": False, "token": "t", "headers": {"X-API-Key": "k"}}
    assert Config.with_configs(Config(**first), Config(**second)) == Config(**second)


def test_headers_are_merged() -> None:
    merged = Config(headers={"a": "1", "b": "1"}).update(Config(headers={"b": "2"}))
    assert merged.get_headers() == {"a": "1", "b": "2"}


def test_update_makes_a_new_one() -> None:
    config = Config(account_id="1")
    updated = config.update(Config(account_id="2"))
    assert (config.account_id, updated.account_id) == ("1", "2")


def test_a_token_does_not_outlive_its_key() -> None:
    temporary = Config(access_key_id="STS.A", access_key_secret="a", security_token="t")
    merged = temporary.update(Config(**KEY))
    assert (merged.access_key_id, merged.security_token) == ("AK", None)


def test_nothing_merged_is_a_plain_config() -> None:
    assert Config.with_configs() == Config() == Config.with_configs(None)


def test_it_is_frozen_and_can_be_a_key() -> None:
    config = Config(account_id="1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.account_id = "2"  # type: ignore[misc]
    assert {config: 1}[Config(account_id="1")] == 1
    assert config != Config(account_id="2")


def test_the_local_config_leads_nowhere_else() -> None:
    config = Config.local(4600)
    base = "http://127.0.0.1:4600"
    assert config.get_control_endpoint() == config.get_data_endpoint() == config.get_signed_data_endpoint() == base
    assert config.get_devs_endpoint() == config.get_bailian_endpoint() == config.get_gpdb_endpoint() == base
    assert (config.get_access_key_id(), config.get_access_key_secret()) == ("local", "local-secret")
    assert config.get_account_id() == local.account_id("local")
    assert config.get_region_id() == local.REGION
    assert Config.local().get_control_endpoint().endswith(":4590")


def test_local_accounts_follow_the_key() -> None:
    accounts = {Config.local(access_key_id=f"key-{number}").get_account_id() for number in range(100)}
    assert len(accounts) == 100
    assert all(len(account) == 16 and account.isdigit() for account in accounts)


# Secrets

WAYS: dict[str, Callable[[Config], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda config: f"{config} {config!r}",
    "percent": lambda config: "%s %r" % (config, config),  # noqa: UP031
    "vars": lambda config: repr(vars(config)),
    "asdict": lambda config: repr(dataclasses.asdict(config)),
    "merged": lambda config: repr(vars(Config(timeout=3).update(config))),
    "replaced": lambda config: repr(vars(config.replace(timeout=3))),
    "container": lambda config: repr([{"config": (config,)}]),
    "pickle": lambda config: repr(pickle.dumps(config)),
    "found": lambda config: repr(config.find_credentials()),
    "error": lambda config: error_text(config),
}


def error_text(config: Config) -> str:
    try:
        config.replace(timeout=-1)
    except ConfigError as error:
        return "".join(traceback.format_exception(error)) + repr(error)
    raise AssertionError("a negative time was accepted")


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_shows(way: str) -> None:
    config = Config(**SECRETS, account_id="123")
    shown = WAYS[way](config)
    assert "hidden" not in shown
    assert way in ("error", "found", "pickle") or "123" in shown


def test_no_secret_shows_in_logs(caplog: pytest.LogCaptureFixture) -> None:
    config = Config(**SECRETS)
    logging.getLogger("test").warning("%s %r %s", config, config, vars(config))
    assert "hidden" not in caplog.text


def test_secrets_work_all_the_same() -> None:
    config = Config(**SECRETS)
    assert (config.get_access_key_secret(), config.get_security_token()) == ("SK-hidden", "ST-hidden")
    assert (config.get_token(), config.get_headers()) == ("TK-hidden", {"X-API-Key": "HD-hidden"})
    assert f"{config.access_key_secret}|".encode() == b"SK-hidden|"


def test_no_secret_of_the_environment_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(KEY_VARIABLES[:3], ("AK", "SK-hidden", "ST-hidden"), strict=True):
        monkeypatch.setenv(name, value)
    found = Config().get_credentials()
    assert (found.access_key_secret, found.security_token) == ("SK-hidden", "ST-hidden")
    assert "hidden" not in f"{Config()} {found} {vars(found)}"


def test_copies_keep_the_key_and_pickles_do_not() -> None:
    config = Config(**SECRETS, region_id="r")
    assert copy.copy(config) == copy.deepcopy(config) == config
    loaded = pickle.loads(pickle.dumps(config))
    assert (loaded.region_id, loaded.access_key_id, loaded.access_key_secret, loaded.headers) == ("r", None, None, {})


# Whose key


@pytest.mark.parametrize(
    "half",
    [
        {"access_key_id": "a"},
        {"access_key_secret": "s"},
        {"security_token": "t"},
        {"access_key_id": "a", "security_token": "t"},
    ],
)
def test_half_a_key_is_an_error(half: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTRUN_ACCESS_KEY_ID", "E")
    monkeypatch.setenv("AGENTRUN_ACCESS_KEY_SECRET", "e")
    with pytest.raises(ConfigError, match="incomplete"):
        Config(**half).get_credentials()


def test_explicit_then_request_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "C")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "c")
    assert Config().get_access_key_id() == "C"
    monkeypatch.setenv("AGENTRUN_ACCESS_KEY_ID", "E")
    monkeypatch.setenv("AGENTRUN_ACCESS_KEY_SECRET", "e")
    assert Config().get_access_key_id() == "E"
    with use_sts_credentials("STS.R", "r", "t"):
        assert (Config().get_access_key_id(), Config().get_security_token()) == ("STS.R", "t")
        assert (Config(**KEY).get_access_key_id(), Config(**KEY).get_security_token()) == ("AK", "")
    assert (Config().get_access_key_id(), Config().get_security_token()) == ("E", "")


def test_the_token_of_one_key_is_not_sent_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "STS.C")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "c")
    monkeypatch.setenv("ALIBABA_CLOUD_SECURITY_TOKEN", "token of STS.C")
    assert Config().get_security_token() == "token of STS.C"
    assert Config(**KEY).get_security_token() == ""
    monkeypatch.setenv("AGENTRUN_ACCESS_KEY_ID", "E")
    monkeypatch.setenv("AGENTRUN_ACCESS_KEY_SECRET", "e")
    assert Config().get_security_token() == ""


# Keys of requests


def test_lent_keys_nest() -> None:
    with use_sts_credentials("A", "a", "t"):
        with use_sts_credentials("B", "b", "u") as lent:
            assert get_request_sts() == lent == StsCredential("B", "b", "u")
        assert Config().get_access_key_id() == "A"
    assert get_request_sts() is None


def test_a_lent_key_ends_with_an_error() -> None:
    with pytest.raises(AgentRunError), use_sts_credentials("A", "a", "t"):
        raise AgentRunError("x")
    assert get_request_sts() is None


def test_tokens_of_lent_keys() -> None:
    token = set_request_sts(StsCredential("A", "a", "t"))
    assert Config().get_access_key_id() == "A"
    reset_request_sts(token)
    assert get_request_sts() is None


def test_threads_do_not_see_it() -> None:
    seen: list[StsCredential | None] = []
    with use_sts_credentials("A", "a", "t"):
        thread = threading.Thread(target=lambda: seen.append(get_request_sts()))
        thread.start()
        thread.join()
    assert seen == [None]


@pytest.mark.asyncio
async def test_tasks_do_not_disturb_each_other() -> None:
    async def serve(name: str) -> str:
        with use_sts_credentials(name, "s", "t"):
            await asyncio.sleep(0.01)
            return Config().get_access_key_id()

    names = [f"STS.{number}" for number in range(20)]
    assert await asyncio.gather(*map(serve, names)) == names
    assert get_request_sts() is None


def test_incomplete_lent_keys_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTRUN_ACCESS_KEY_ID", "E")
    monkeypatch.setenv("AGENTRUN_ACCESS_KEY_SECRET", "e")
    with use_sts_credentials("STS.A", None, "t"):
        assert Config().get_access_key_id() == "E"


STS_HEADERS = {"X-Fc-Access-Key-Id": "A", "x-fc-access-key-secret": "a", "X-FC-SECURITY-TOKEN": "t"}


def test_keys_from_headers() -> None:
    assert sts_from_headers(STS_HEADERS) == StsCredential("A", "a", "t")
    with use_sts_from_headers(STS_HEADERS) as lent:
        assert get_request_sts() == lent == StsCredential("A", "a", "t")
    assert get_request_sts() is None


@pytest.mark.parametrize("missing", STS_HEADERS)
def test_incomplete_headers_lend_nothing(missing: str) -> None:
    headers = {name: value for name, value in STS_HEADERS.items() if name != missing}
    assert sts_from_headers(headers) is None
    assert sts_from_headers({**headers, missing: ""}) is None
    with use_sts_credentials("B", "b", "u"), use_sts_from_headers(headers) as lent:
        assert lent is None
        assert Config().get_access_key_id() == "B"


def test_names_of_the_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"my-id": "A", "my-secret": "a", "my-token": "t"}
    names = {
        "access_key_id_header": "My-Id",
        "access_key_secret_header": "My-Secret",
        "security_token_header": "My-Token",
    }
    assert sts_from_headers(headers) is None
    assert sts_from_headers(headers, **names) == StsCredential("A", "a", "t")
    for part, name in (("ACCESS_KEY_ID", "My-Id"), ("ACCESS_KEY_SECRET", "My-Secret"), ("SECURITY_TOKEN", "My-Token")):
        monkeypatch.setenv(f"AGENTRUN_STS_HEADER_{part}", name)
    assert sts_from_headers(headers) == StsCredential("A", "a", "t")


def test_lent_keys_hide_their_secrets() -> None:
    assert "hidden" not in repr(StsCredential("A", "s-hidden", "t-hidden"))
