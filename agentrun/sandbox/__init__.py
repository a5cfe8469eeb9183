"""Sandboxes: isolated places to run things in, and the templates they are made from."""

from __future__ import annotations

from agentrun._core.network import OSSMountConfig, OSSMountPoint
from agentrun.sandbox.checkpoints import Checkpoint
from agentrun.sandbox.client import SandboxClient
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
from agentrun.sandbox.contexts import ContextOperations
from agentrun.sandbox.control import SandboxControlAPI
from agentrun.sandbox.credentials import CredentialUse, RefusedCredential, SandboxCredential, UsedCredential
from agentrun.sandbox.custom_sandbox import CustomSandbox
from agentrun.sandbox.data import CodeInterpreterDataAPI, SandboxDataAPI
from agentrun.sandbox.events import EndEvent, ErrorEvent, ExitEvent, FileEvent, OutputEvent
from agentrun.sandbox.execution import ExecutionStream
from agentrun.sandbox.mime import Result
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
from agentrun.sandbox.network import NetworkPolicy, NetworkRule
from agentrun.sandbox.options import IsolationState, Mount, SandboxHealth, SandboxOptions
from agentrun.sandbox.ports import SandboxPort
from agentrun.sandbox.process_handle import ProcessHandle
from agentrun.sandbox.result import ExecutionResult, ProcessResult
from agentrun.sandbox.sandbox import ListSandboxesOutput, Sandbox
from agentrun.sandbox.template import Template
from agentrun.sandbox.terminal import Terminal

__all__ = [
    "Checkpoint",
    "CodeInterpreterDataAPI",
    "CodeInterpreterSandbox",
    "CodeLanguage",
    "ContextOperations",
    "CredentialUse",
    "CustomSandbox",
    "EndEvent",
    "ErrorEvent",
    "ExecutionResult",
    "ExecutionStream",
    "ExitEvent",
    "FileEvent",
    "IsolationState",
    "ListSandboxesInput",
    "ListSandboxesOutput",
    "Mount",
    "NASConfig",
    "NASMountConfig",
    "NetworkPolicy",
    "NetworkRule",
    "OSSMountConfig",
    "OSSMountPoint",
    "OutputEvent",
    "PageableInput",
    "PolarFsConfig",
    "PolarFsMountConfig",
    "ProcessHandle",
    "ProcessResult",
    "RefusedCredential",
    "Result",
    "Sandbox",
    "SandboxClient",
    "SandboxControlAPI",
    "SandboxCredential",
    "SandboxDataAPI",
    "SandboxHealth",
    "SandboxInput",
    "SandboxOptions",
    "SandboxPort",
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
    "Terminal",
    "UsedCredential",
]
