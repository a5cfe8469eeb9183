"""Credentials, model services and proxies, templates: what the service does with each, and refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentrun.emulator import Emulator
from tests.emulator import bodies
from tests.emulator.signed import CREDENTIALS, MODEL_PROXIES, MODEL_SERVICES, RUNTIMES, TEMPLATES, Account

KINDS = {
    "credential": (CREDENTIALS, bodies.credential, "credentialName"),
    "model service": (MODEL_SERVICES, bodies.model_service, "modelServiceName"),
    "model proxy": (MODEL_PROXIES, bodies.model_proxy, "modelProxyName"),
    "template": (TEMPLATES, bodies.template, "templateName"),
}
METHODS: tuple[tuple[str, Any], ...] = (("GET", None), ("PUT", {}), ("DELETE", None))


@pytest.mark.parametrize("noun", KINDS)
def test_the_life_of_a_resource(account: Account, noun: str) -> None:
    path, make, name_field = KINDS[noun]
    made = account.done("POST", path, make("one"))
    assert made[name_field] == "one"
    shown = account.done("GET", f"{path}/one")
    assert [item[name_field] for item in account.done("GET", path)["items"]] == ["one"]
    account.done("PUT", f"{path}/one", {"workspaceId": "w"})
    changed = account.done("GET", f"{path}/one")
    volatile = {"workspaceId", "updatedAt", "lastUpdatedAt"}
    assert {k: v for k, v in changed.items() if k not in volatile} == {
        k: v for k, v in shown.items() if k not in volatile
    }
    assert account.done("DELETE", f"{path}/one")[name_field] == "one"
    assert account.done("GET", path) == {"items": [], "pageNumber": 1, "pageSize": 10, "total": 0}


@pytest.mark.parametrize("noun", KINDS)
def test_refusals(account: Account, noun: str) -> None:
    path, make, _ = KINDS[noun]
    account.done("POST", path, make("one"))
    assert f"{noun} one already exists" in account.refused(409, "POST", path, make("one"))
    for method, body in METHODS:
        assert f"{noun} two does not exist" in account.refused(404, method, f"{path}/two", body)
    assert "pageNumber" in account.refused(400, "GET", path, pageNumber="0")
    account.done("DELETE", f"{path}/one")
    for method, body in METHODS:
        assert "does not exist" in account.refused(404, method, f"{path}/one", body)
    account.done("POST", path, make("one"))


@pytest.mark.parametrize("noun", KINDS)
def test_workspaces_are_echoed_and_filter(account: Account, noun: str) -> None:
    path, make, name_field = KINDS[noun]
    for name, workspace in (("a", "w1"), ("b", "w2"), ("c", "w2"), ("d", None)):
        made = account.done("POST", path, make(name, workspaceId=workspace))
        assert made.get("workspaceId") == workspace
    assert account.done("GET", f"{path}/b")["workspaceId"] == "w2"

    def names(**query: str) -> str:
        page = account.done("GET", path, **query)
        assert page["total"] == len(page["items"])
        return "".join(item[name_field] for item in page["items"])

    assert names() == "abcd"
    assert names(workspaceId="w2") == "bc"
    assert names(workspaceIds="w1,w2") == "abc"
    assert names(workspaceId="none") == ""


# Credentials


def test_a_credential_as_the_service_shows_it(account: Account) -> None:
    account.done("POST", CREDENTIALS, bodies.credential())
    shown = account.done("GET", f"{CREDENTIALS}/key")
    assert shown["credentialAuthType"] == "api_key"
    assert shown["credentialSourceType"] == "internal"
    assert shown["credentialPublicConfig"] == {"headerKey": "Authorization", "users": []}
    assert shown["credentialSecret"] == bodies.SECRET
    assert shown["enabled"] is True
    assert shown["credentialId"].startswith("cred-")
    assert "status" not in shown
    assert shown["relatedResources"] == []


def test_a_listed_credential_holds_no_contents(account: Account) -> None:
    account.done("POST", CREDENTIALS, bodies.credential())
    item = account.done("GET", CREDENTIALS)["items"][0]
    assert "credentialSecret" not in item
    assert "credentialPublicConfig" not in item
    assert item["relatedResourceCount"] == 0


def test_updates_of_a_credential(account: Account) -> None:
    account.done("POST", CREDENTIALS, bodies.credential(description="before"))
    changed = account.done("PUT", f"{CREDENTIALS}/key", {"credentialSecret": "sk-2", "enabled": False})
    assert (changed["credentialSecret"], changed["enabled"], changed["description"]) == ("sk-2", False, "before")
    for field in ("credentialAuthType", "credentialSourceType", "credentialName"):
        assert f"{field} is not a field" in account.refused(400, "PUT", f"{CREDENTIALS}/key", {field: "x"})


@pytest.mark.parametrize("field", ["credentialAuthType", "credentialSourceType"])
def test_a_credential_of_no_known_kind_is_refused(account: Account, field: str) -> None:
    assert f"{field} must be one of" in account.refused(400, "POST", CREDENTIALS, bodies.credential(**{field: "magic"}))


def test_filters_of_credentials(account: Account) -> None:
    account.done("POST", CREDENTIALS, bodies.credential("a"))
    account.done("POST", CREDENTIALS, bodies.credential("b", enabled=False, credentialAuthType="jwt"))
    account.done("POST", CREDENTIALS, bodies.credential("c", credentialPublicConfig={"provider": "openai"}))

    def names(**query: str) -> str:
        return "".join(item["credentialName"] for item in account.done("GET", CREDENTIALS, **query)["items"])

    assert names(credentialName="b") == "b"
    assert names(enabled="true") == "ac"
    assert names(enabled="false") == "b"
    assert names(credentialAuthType="jwt") == "b"
    assert names(provider="openai") == "c"
    assert names(enabled="true", credentialSourceType="internal", provider="openai") == "c"


def test_a_credential_knows_who_uses_it(account: Account) -> None:
    account.done("POST", CREDENTIALS, bodies.credential())
    account.done("POST", CREDENTIALS, bodies.credential("other"))
    service = account.done("POST", MODEL_SERVICES, bodies.model_service(credentialName="key"))
    using = {"credentialName": "key"}
    template = account.done("POST", TEMPLATES, bodies.template(credentialConfiguration=using))
    related = account.done("GET", f"{CREDENTIALS}/key")["relatedResources"]
    assert related == [
        {"resourceId": service["modelServiceId"], "resourceName": "model", "resourceType": "model_service"},
        {"resourceId": template["templateId"], "resourceName": "python", "resourceType": "template"},
    ]
    counts = {
        item["credentialName"]: item["relatedResourceCount"] for item in account.done("GET", CREDENTIALS)["items"]
    }
    assert counts == {"key": 2, "other": 0}
    account.done("DELETE", f"{MODEL_SERVICES}/model")
    assert len(account.done("GET", f"{CREDENTIALS}/key")["relatedResources"]) == 1


# Model services


def test_a_model_service_as_the_service_shows_it(account: Account) -> None:
    made = account.done("POST", MODEL_SERVICES, bodies.model_service())
    assert made["status"] == "READY"
    assert made["providerSettings"] == {
        "baseUrl": "http://127.0.0.1:1/v1",
        "apiKey": bodies.API_KEY,
        "modelNames": ["m"],
    }
    assert made == account.done("GET", f"{MODEL_SERVICES}/model")


def test_provider_settings_change_field_by_field(account: Account) -> None:
    account.done("POST", MODEL_SERVICES, bodies.model_service())
    account.done("PUT", f"{MODEL_SERVICES}/model", {"providerSettings": {"apiKey": "sk-3"}})
    settings = account.done("GET", f"{MODEL_SERVICES}/model")["providerSettings"]
    assert settings == {"baseUrl": "http://127.0.0.1:1/v1", "apiKey": "sk-3", "modelNames": ["m"]}


def test_a_model_service_needs_its_credential(account: Account) -> None:
    message = "there is no credential key; create it first"
    assert message in account.refused(400, "POST", MODEL_SERVICES, bodies.model_service(credentialName="key"))
    account.done("POST", MODEL_SERVICES, bodies.model_service())
    assert message in account.refused(400, "PUT", f"{MODEL_SERVICES}/model", {"credentialName": "key"})
    other = replace(account, key=f"{account.key}-other")
    other.done("POST", CREDENTIALS, bodies.credential())
    assert message in account.refused(400, "PUT", f"{MODEL_SERVICES}/model", {"credentialName": "key"})
    account.done("POST", CREDENTIALS, bodies.credential())
    assert account.done("PUT", f"{MODEL_SERVICES}/model", {"credentialName": "key"})["credentialName"] == "key"


def test_filters_of_model_services(account: Account) -> None:
    account.done("POST", MODEL_SERVICES, bodies.model_service("a"))
    account.done("POST", MODEL_SERVICES, bodies.model_service("b", modelType="text-embedding", provider="tongyi"))

    def names(**query: str) -> str:
        return "".join(item["modelServiceName"] for item in account.done("GET", MODEL_SERVICES, **query)["items"])

    assert names(modelType="llm") == "a"
    assert names(provider="tongyi") == "b"
    assert names(modelType="llm", provider="tongyi") == ""


# Templates


def test_a_template_as_the_service_shows_it(account: Account) -> None:
    made = account.done("POST", TEMPLATES, bodies.template(description="secret plan", environmentVariables={"A": "b"}))
    for shown in (made, account.done("GET", f"{TEMPLATES}/python"), account.done("GET", TEMPLATES)["items"][0]):
        assert "description" not in shown
        assert shown["environmentVariables"] == {"A": "b"}
        assert shown["sandboxIdleTimeoutInSeconds"] == "1800"
        assert shown["sandboxTTLInSeconds"] == "21600"
        assert shown["templateType"] == "CodeInterpreter"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cpu": 1}, "cpu must be at least 2, not 1"),
        ({"templateType": "Browser"}, "diskSize must be 10240 for a Browser template"),
        ({"templateType": "Browser", "diskSize": 512}, "diskSize must be 10240"),
        ({"templateType": "AllInOne"}, "diskSize must be 10240 for a AllInOne template"),
        ({"templateType": "Spaceship"}, "templateType must be one of CodeInterpreter"),
        ({"networkConfiguration": {"networkMode": "PRIVATE"}}, "PRIVATE is not possible"),
    ],
    ids=str,
)
def test_templates_that_the_service_refuses(account: Account, changes: dict[str, Any], message: str) -> None:
    assert message in account.refused(400, "POST", TEMPLATES, bodies.template(**changes))


def test_an_update_cannot_break_a_template(account: Account) -> None:
    account.done("POST", TEMPLATES, bodies.template())
    assert "cpu must be at least 2" in account.refused(400, "PUT", f"{TEMPLATES}/python", {"cpu": 1})
    assert account.done("PUT", f"{TEMPLATES}/python", {"cpu": 4}, clientToken="t")["cpu"] == 4


def test_filters_of_templates(account: Account) -> None:
    account.done("POST", TEMPLATES, bodies.template("a"))
    account.done("POST", TEMPLATES, bodies.template("b", templateType="Browser", diskSize=10240))

    def names(**query: str) -> str:
        return "".join(item["templateName"] for item in account.done("GET", TEMPLATES, **query)["items"])

    assert names(templateType="Browser") == "b"
    assert names(templateName="a") == "a"
    assert names(status="READY") == "ab"
    assert names(status="DELETING") == ""


def test_kinds_do_not_share_names(account: Account) -> None:
    for path, make, _ in KINDS.values():
        account.done("POST", path, make("same"))
    account.done("DELETE", f"{CREDENTIALS}/same")
    account.done("GET", f"{MODEL_SERVICES}/same")
    assert account.done("GET", RUNTIMES)["total"] == 0


def test_ids_are_new_each_time(emulator: Emulator, account: Account) -> None:
    ids: set[str] = set()
    for _ in range(5):
        ids.add(account.done("POST", CREDENTIALS, bodies.credential())["credentialId"])
        account.done("DELETE", f"{CREDENTIALS}/key")
    assert len(ids) == 5
