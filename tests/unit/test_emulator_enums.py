"""The emulator takes exactly the values that the SDK has names for."""

from __future__ import annotations

from agentrun.credential import CredentialAuthType, CredentialSourceType
from agentrun.emulator.control import credentials, knowledgebases, model_proxies, templates
from agentrun.knowledgebase import KnowledgeBaseProvider
from agentrun.model import ProxyMode
from agentrun.sandbox import TemplateType


def test_the_kinds_of_credentials_are_those_of_the_sdk() -> None:
    assert sorted(credentials.AUTH_TYPES) == sorted(kind.value for kind in CredentialAuthType)
    assert sorted(credentials.SOURCE_TYPES) == sorted(kind.value for kind in CredentialSourceType)


def test_the_kinds_of_templates_are_those_of_the_sdk() -> None:
    assert sorted(templates.TYPES) == sorted(kind.value for kind in TemplateType)


def test_the_modes_of_proxies_are_those_of_the_sdk() -> None:
    assert sorted(model_proxies.MODES) == sorted(mode.value for mode in ProxyMode)


def test_the_providers_of_knowledge_bases_are_those_of_the_sdk() -> None:
    assert sorted(knowledgebases.PROVIDERS) == sorted(each.value for each in KnowledgeBaseProvider)
