"""Sandboxes: isolated places to run things in, and the templates they are made from."""

from __future__ import annotations

from agentrun._core.network import OSSMountConfig, OSSMountPoint
from agentrun.sandbox.client import SandboxClient
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
from agentrun.sandbox.control import SandboxControlAPI
from agentrun.sandbox.custom_sandbox import CustomSandbox
from agentrun.sandbox.data import CodeInterpreterDataAPI, SandboxDataAPI
from agentrun.sandbox.model import (
    CodeLanguage,
    ListSandboxesInput,
    NASConfig,
    NASMountConfig,
    PageableInput,
    PolarFsConfig,
    PolarFsMountConfig,
    SandboxInput,
    TemplateArmsConfiguration,
    TemplateContainerConfiguration,
    TemplateCredentialConfiguration,
    TemplateInput,
    TemplateLogConfiguration,
    TemplateMcpOptions,
    TemplateMcpState,
    TemplateNetworkConfiguration,
    TemplateNetworkMode,
    TemplateOssConfiguration,
    TemplateOSSPermission,
    TemplateType,
    TemplateUpdateInput,
)
from agentrun.sandbox.result import ExecutionResult
from agentrun.sandbox.sandbox import ListSandboxesOutput, Sandbox
from agentrun.sandbox.template import Template

__all__ = [
    "CodeInterpreterDataAPI",
    "CodeInterpreterSandbox",
    "CodeLanguage",
    "CustomSandbox",
    "ExecutionResult",
    "ListSandboxesInput",
    "ListSandboxesOutput",
    "NASConfig",
    "NASMountConfig",
    "OSSMountConfig",
    "OSSMountPoint",
    "PageableInput",
    "PolarFsConfig",
    "PolarFsMountConfig",
    "Sandbox",
    "SandboxClient",
    "SandboxControlAPI",
    "SandboxDataAPI",
    "SandboxInput",
    "Template",
    "TemplateArmsConfiguration",
    "TemplateContainerConfiguration",
    "TemplateCredentialConfiguration",
    "TemplateInput",
    "TemplateLogConfiguration",
    "TemplateMcpOptions",
    "TemplateMcpState",
    "TemplateNetworkConfiguration",
    "TemplateNetworkMode",
    "TemplateOSSPermission",
    "TemplateOssConfiguration",
    "TemplateType",
    "TemplateUpdateInput",
]
