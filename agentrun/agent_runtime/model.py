"""What travels about agent runtimes, their endpoints and their versions."""

from __future__ import annotations

import os
from enum import Enum
from typing import Any

from pydantic import Field

from agentrun._core.model import Model, PageableInput, UpdateInput, wire_name
from agentrun._core.network import NetworkConfig, OSSMountConfig
from agentrun._core.network import OSSMountPoint as OSSMountPoint
from agentrun.agent_runtime.package import Package, read_archive, zip_path
from agentrun.errors import InvalidInputError
from agentrun.status import Status


class AgentRuntimeArtifact(str, Enum):
    """What an agent is delivered as."""

    CODE = "Code"
    CONTAINER = "Container"


class AgentRuntimeLanguage(str, Enum):
    """What runs a code package."""

    PYTHON310 = "python3.10"
    PYTHON312 = "python3.12"
    NODEJS18 = "nodejs18"
    NODEJS20 = "nodejs20"
    JAVA8 = "java8"
    JAVA11 = "java11"


class AgentRuntimeProtocolType(str, Enum):
    """What an agent speaks."""

    HTTP = "HTTP"
    MCP = "MCP"
    SUPER_AGENT = "SUPER_AGENT"


class AgentRuntimeCode(Model):
    """A code package and the command that starts it; made by one of the class methods.

    `zip_file` is Base64, `checksum` the decimal CRC-64 of the archive's bytes.
    """

    checksum: str | None = None
    command: list[str] | None = None
    language: AgentRuntimeLanguage | None = None
    oss_bucket_name: str | None = None
    oss_object_name: str | None = None
    zip_file: str | None = Field(default=None, repr=False)

    @classmethod
    def from_zip_file(
        cls, language: AgentRuntimeLanguage, command: list[str], zip_file_path: str | os.PathLike[str]
    ) -> AgentRuntimeCode:
        """The code in a zip archive on this machine; raises InvalidInputError when there is none."""
        return cls._packed(language, command, read_archive(zip_file_path))

    @classmethod
    def from_oss(cls, language: AgentRuntimeLanguage, command: list[str], bucket: str, object: str) -> AgentRuntimeCode:
        """The code in a zip archive in a bucket."""
        return cls(language=language, command=command, oss_bucket_name=bucket, oss_object_name=object)

    @classmethod
    def from_file(
        cls, language: AgentRuntimeLanguage, command: list[str], file_path: str | os.PathLike[str]
    ) -> AgentRuntimeCode:
        """The code in a file or a folder on this machine, without caches, `.git` and `.venv`.

        Raises InvalidInputError when the path is missing or the package is over 100 MB.
        """
        return cls._packed(language, command, zip_path(file_path))

    @classmethod
    def _packed(cls, language: AgentRuntimeLanguage, command: list[str], archive: bytes) -> AgentRuntimeCode:
        package = Package.of(archive)
        return cls(language=language, command=command, zip_file=package.zip_file, checksum=package.checksum)


class RegistryAuthConfig(Model):
    """Who pulls from a registry."""

    password: str | None = Field(default=None, repr=False)
    user_name: str | None = None


class RegistryCertConfig(Model):
    """How a registry's certificate is checked."""

    insecure: bool | None = None
    root_ca_cert_base_64: str | None = None


class RegistryNetworkConfig(Model):
    """The network that a registry is in."""

    security_group_id: str | None = None
    v_switch_id: str | None = None
    vpc_id: str | None = None


class RegistryConfig(Model):
    """How a registry of one's own is reached."""

    auth_config: RegistryAuthConfig | None = None
    cert_config: RegistryCertConfig | None = None
    network_config: RegistryNetworkConfig | None = None


class AgentRuntimeContainer(Model):
    """A container image and the command that starts it."""

    acr_instance_id: str | None = None
    command: list[str] | None = None
    image: str | None = None
    image_registry_type: str | None = None
    port: int | None = None
    registry_config: RegistryConfig | None = None


class AgentRuntimeHealthCheckConfig(Model):
    """How an instance is found healthy; times are seconds."""

    failure_threshold: int | None = None
    http_get_url: str | None = None
    initial_delay_seconds: int | None = None
    period_seconds: int | None = None
    success_threshold: int | None = None
    timeout_seconds: int | None = None


class AgentRuntimeLogConfig(Model):
    """Where logs are kept."""

    project: str
    logstore: str


class ProtocolSettings(Model):
    """One route of an agent; schemas, headers and `config` are JSON text."""

    a_2aagent_card: str | None = wire_name("A2AAgentCard")
    a_2a_agent_card: str | None = wire_name("a2aAgentCard")
    a_2a_agent_card_url: str | None = wire_name("a2aAgentCardUrl")
    config: str | None = None
    headers: str | None = None
    input_body_json_schema: str | None = None
    method: str | None = None
    name: str | None = None
    output_body_json_schema: str | None = None
    path: str | None = None
    path_prefix: str | None = None
    request_content_type: str | None = None
    response_content_type: str | None = None
    type: str | None = None


class AgentRuntimeProtocolConfig(Model):
    """What an agent speaks, and its routes."""

    protocol_settings: list[ProtocolSettings] | None = None
    type: AgentRuntimeProtocolType = AgentRuntimeProtocolType.HTTP


class NASMountConfig(Model):
    """A file system and where it appears."""

    enable_tls: bool | None = wire_name("enableTLS")
    mount_dir: str | None = None
    server_addr: str | None = None


class NASConfig(Model):
    """The file systems to mount, and as whom."""

    group_id: int | None = None
    mount_points: list[NASMountConfig] | None = None
    user_id: int | None = None


class ScheduledPolicy(Model):
    """How many instances to keep at certain times."""

    end_time: str | None = None
    name: str | None = None
    schedule_expression: str | None = None
    start_time: str | None = None
    target: int | None = None
    time_zone: str | None = None


class ScalingConfig(Model):
    """How many instances to keep."""

    min_instances: int | None = None
    scheduled_policies: list[ScheduledPolicy] | None = None


class AgentRuntimeEndpointRoutingWeight(Model):
    """The share of calls that a version gets, from 0 to 1."""

    version: str | None = None
    weight: float | None = None


class AgentRuntimeEndpointRoutingConfig(Model):
    """How calls are shared between versions."""

    version_weights: list[AgentRuntimeEndpointRoutingWeight] | None = None


class AgentRuntimeMutableProps(Model):
    """What an update may change; `cpu` is cores, `memory` MB."""

    agent_runtime_name: str | None = None
    artifact_type: AgentRuntimeArtifact | None = None
    code_configuration: AgentRuntimeCode | None = None
    container_configuration: AgentRuntimeContainer | None = None
    cpu: float | None = 2
    credential_name: str | None = None
    description: str | None = None
    disk_size: int | None = None
    enable_session_isolation: bool | None = None
    environment_variables: dict[str, str] | None = Field(default=None, repr=False)
    execution_role_arn: str | None = None
    health_check_configuration: AgentRuntimeHealthCheckConfig | None = None
    log_configuration: AgentRuntimeLogConfig | None = None
    memory: int | None = 4096
    nas_config: NASConfig | None = None
    network_configuration: NetworkConfig | None = None
    oss_mount_config: OSSMountConfig | None = None
    port: int | None = 9000
    protocol_configuration: AgentRuntimeProtocolConfig | None = None
    session_concurrency_limit_per_instance: int | None = None
    session_idle_timeout_seconds: int | None = None
    system_tags: list[str] | None = None


class AgentRuntimeImmutableProps(Model):
    """What stays as it was created; `workspace_name` is looked up and travels as `workspace_id`."""

    workspace_id: str | None = None
    workspace_name: str | None = None


class AgentRuntimeSystemProps(Model):
    """What the service adds."""

    agent_runtime_arn: str | None = None
    agent_runtime_id: str | None = None
    created_at: str | None = None
    last_updated_at: str | None = None
    resource_name: str | None = None
    status: Status | str | None = None
    status_reason: str | None = None
    agent_runtime_version: str | None = None


class AgentRuntimeEndpointMutableProps(Model):
    """What an update may change."""

    agent_runtime_endpoint_name: str | None = None
    description: str | None = None
    disable_public_network_access: bool | None = None
    routing_configuration: AgentRuntimeEndpointRoutingConfig | None = None
    scaling_config: ScalingConfig | None = None
    target_version: str | None = "LATEST"


class AgentRuntimeEndpointImmutableProps(Model):
    """What stays as it was created: nothing so far."""


class AgentRuntimeEndpointSystemProps(Model):
    """What the service adds."""

    agent_runtime_endpoint_arn: str | None = None
    agent_runtime_endpoint_id: str | None = None
    agent_runtime_id: str | None = None
    endpoint_public_url: str | None = None
    resource_name: str | None = None
    status: Status | str | None = None
    status_reason: str | None = None


class AgentRuntimeCreateInput(AgentRuntimeMutableProps, AgentRuntimeImmutableProps):
    """An agent runtime to create, from code or from a container image."""

    def to_wire(self) -> dict[str, Any]:
        """What travels; the kind of artifact follows from the configuration, and the network is public by default."""
        wire = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"workspace_name"})
        return {**wire, "artifactType": self._artifact(), "networkConfiguration": self._network()}

    def _artifact(self) -> str:
        if self.artifact_type is not None:
            return str(AgentRuntimeArtifact(self.artifact_type).value)
        if self.code_configuration is None and self.container_configuration is None:
            raise InvalidInputError(
                "an agent runtime is made of code or of a container image",
                field="code_configuration",
                hint="Give code_configuration=AgentRuntimeCode.from_file(...) or container_configuration=...",
            )
        kind = AgentRuntimeArtifact.CODE if self.code_configuration else AgentRuntimeArtifact.CONTAINER
        return kind.value

    def _network(self) -> dict[str, Any]:
        return (self.network_configuration or NetworkConfig()).to_wire()


class AgentRuntimeUpdateInput(UpdateInput, AgentRuntimeMutableProps):
    """What to change of an agent runtime; what is not given stays."""


class AgentRuntimeGetInput(Model):
    """Which version to read, the latest by default."""

    agent_runtime_version: str | None = None


class AgentRuntimeListInput(PageableInput):
    """Which agent runtimes to list; the plural fields are names or ids joined by commas."""

    agent_runtime_name: str | None = None
    system_tags: str | None = None
    search_mode: str | None = None
    status: str | None = None
    workspace_id: str | None = None
    workspace_ids: str | None = None
    workspace_name: str | None = None
    workspace_names: str | None = None


class AgentRuntimeEndpointCreateInput(AgentRuntimeEndpointMutableProps, AgentRuntimeEndpointImmutableProps):
    """An endpoint to create."""


class AgentRuntimeEndpointUpdateInput(UpdateInput, AgentRuntimeEndpointMutableProps):
    """What to change of an endpoint; what is not given stays."""

    delete_scaling_config: bool | None = None


class AgentRuntimeEndpointListInput(PageableInput):
    """Which endpoints to list."""

    endpoint_name: str | None = None
    search_mode: str | None = None


class AgentRuntimeVersion(Model):
    """A published state of an agent runtime."""

    agent_runtime_arn: str | None = None
    agent_runtime_id: str | None = None
    agent_runtime_name: str | None = None
    agent_runtime_version: str | None = None
    description: str | None = None
    last_updated_at: str | None = None


class AgentRuntimeVersionListInput(PageableInput):
    """Which versions to list."""


class AgentRuntimeVersionCreateInput(Model):
    """A version to publish."""

    description: str | None = None
    publisher: str | None = None
