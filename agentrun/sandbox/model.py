"""What travels about sandboxes and their templates."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import Field, model_validator

from agentrun._core import model as core
from agentrun._core.model import Model, UpdateInput, wire_name
from agentrun._core.network import NetworkConfig, OSSMountConfig
from agentrun._core.network import OSSMountPoint as OSSMountPoint
from agentrun.status import NetworkMode

if TYPE_CHECKING:
    from typing_extensions import Self

TemplateNetworkConfiguration = NetworkConfig
TemplateNetworkMode = NetworkMode

BROWSER_DISK_MB = 10240
DISK_MB = 512
AIO_CPU = 4.0
AIO_MEMORY_MB = 8192
MIN_CPU = 2


class TemplateOSSPermission(str, Enum):
    """What a sandbox may do with a bucket."""

    READ_WRITE = "READ_WRITE"
    READ_ONLY = "READ_ONLY"


class TemplateType(str, Enum):
    """What the sandboxes of a template are: a code interpreter, a browser, both, or an image of one's own."""

    CODE_INTERPRETER = "CodeInterpreter"
    BROWSER = "Browser"
    AIO = "AllInOne"
    CUSTOM = "CustomImage"


class CodeLanguage(str, Enum):
    """The languages that every code interpreter runs; others are given as text."""

    PYTHON = "python"


class NASMountConfig(Model):
    """A file system and where it appears."""

    enable_tls: bool | None = None
    mount_dir: str | None = None
    server_addr: str | None = None


class NASConfig(Model):
    """The file systems to mount, and as whom."""

    group_id: int | None = None
    mount_points: list[NASMountConfig] | None = None
    user_id: int | None = None


class PolarFsMountConfig(Model):
    """A PolarFs file system and where it appears."""

    instance_id: str | None = None
    mount_dir: str | None = None
    remote_dir: str | None = None


class PolarFsConfig(Model):
    """The PolarFs file systems to mount, and as whom."""

    group_id: int | None = None
    mount_points: list[PolarFsMountConfig] | None = None
    user_id: int | None = None


class TemplateOssConfiguration(Model):
    """A bucket that every sandbox of a template has."""

    bucket_name: str
    mount_point: str
    permission: TemplateOSSPermission | None = TemplateOSSPermission.READ_WRITE
    prefix: str
    region: str


class TemplateLogConfiguration(Model):
    """Where logs are kept."""

    project: str | None = None
    logstore: str | None = None


class TemplateCredentialConfiguration(Model):
    """The credential of a template: an outbound one is given to its sandboxes, as a placeholder."""

    credential_name: str | None = None


class TemplateArmsConfiguration(Model):
    """Whether sandboxes are traced."""

    arms_license_key: str | None = Field(default=None, repr=False)
    enable_arms: bool


class TemplateContainerConfiguration(Model):
    """The image of a CustomImage template."""

    image: str | None = None
    command: list[str] | None = None
    acr_instance_id: str | None = None
    image_registry_type: str | None = None
    port: int | None = None


class TemplateMcpOptions(Model):
    """Which tools a template offers over MCP, and how."""

    enabled_tools: list[str] | None = None
    transport: str | None = None


class TemplateMcpState(Model):
    """Where a template's MCP server is, and in which state."""

    access_endpoint: str | None = None
    status: str | None = None
    status_reason: str | None = None


class TemplateUpdateInput(UpdateInput):
    """What to change of a template; what is not given stays. `cpu` is cores, `memory` MB."""

    cpu: float | None = None
    memory: int | None = None
    execution_role_arn: str | None = None
    sandbox_idle_timeout_in_seconds: int | None = None
    sandbox_ttlin_seconds: int | None = wire_name("sandboxTTLInSeconds")
    template_configuration: dict[str, Any] | None = None
    description: str | None = None
    environment_variables: dict[str, Any] | None = Field(default=None, repr=False)
    network_configuration: NetworkConfig | None = None
    oss_configuration: list[TemplateOssConfiguration] | None = None
    log_configuration: TemplateLogConfiguration | None = None
    credential_configuration: TemplateCredentialConfiguration | None = None
    arms_configuration: TemplateArmsConfiguration | None = None
    container_configuration: TemplateContainerConfiguration | None = None
    allow_anonymous_manage: bool | None = None
    workspace_id: str | None = None


def _template_name() -> str:
    return f"sandbox_template_{uuid4()}"


class TemplateInput(Model):
    """A template to create; `cpu` is cores, `memory` and `disk_size` MB.

    Templates with a browser have a disk of 10240 MB, AllInOne templates 4 cores and 8192 MB of memory, and code
    interpreters cannot have a private network.
    """

    template_name: str | None = Field(default_factory=_template_name)
    template_type: TemplateType
    cpu: float | None = 2.0
    memory: int | None = 4096
    execution_role_arn: str | None = None
    sandbox_idle_timeout_in_seconds: int | None = 1800
    sandbox_ttlin_seconds: int | None = Field(
        default=21600, validation_alias="sandboxTTLInSeconds", serialization_alias="sandboxTTLInSeconds"
    )
    share_concurrency_limit_per_sandbox: int | None = 200
    template_configuration: dict[str, Any] | None = None
    description: str | None = None
    environment_variables: dict[str, Any] | None = Field(default=None, repr=False)
    network_configuration: NetworkConfig | None = Field(default_factory=NetworkConfig)
    oss_configuration: list[TemplateOssConfiguration] | None = None
    log_configuration: TemplateLogConfiguration | None = None
    credential_configuration: TemplateCredentialConfiguration | None = None
    arms_configuration: TemplateArmsConfiguration | None = None
    container_configuration: TemplateContainerConfiguration | None = None
    disk_size: int | None = None
    allow_anonymous_manage: bool | None = None
    workspace_id: str | None = None

    @model_validator(mode="after")
    def _follow_the_type(self) -> Self:
        browser = self.template_type in (TemplateType.BROWSER, TemplateType.AIO)
        # Set past the model, because what a type implies is not something that was given.
        if self.disk_size is None:
            vars(self)["disk_size"] = BROWSER_DISK_MB if browser else DISK_MB
        if self.template_type == TemplateType.AIO:
            vars(self).update(cpu=AIO_CPU, memory=AIO_MEMORY_MB)
        if browser and self.disk_size != BROWSER_DISK_MB:
            raise ValueError(f"disk_size of a {self.template_type} template must be {BROWSER_DISK_MB}")
        if self.cpu is not None and self.cpu < MIN_CPU:
            raise ValueError(f"cpu must be at least {MIN_CPU}")
        if self.template_type == TemplateType.CODE_INTERPRETER and self._is_private():
            raise ValueError("network_mode of a CodeInterpreter template cannot be PRIVATE")
        return self

    def _is_private(self) -> bool:
        network = self.network_configuration
        return network is not None and network.network_mode == NetworkMode.PRIVATE

    def to_wire(self) -> dict[str, Any]:
        """What travels; the service does not know `share_concurrency_limit_per_sandbox`."""
        return self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude={"share_concurrency_limit_per_sandbox"}
        )

    def to_update(self) -> TemplateUpdateInput:
        """The fields that were given and can be changed after the creation."""
        names = self.model_fields_set & TemplateUpdateInput.model_fields.keys()
        return TemplateUpdateInput(**{name: getattr(self, name) for name in names})


class SandboxInput(Model):
    """A sandbox to create."""

    template_name: str
    sandbox_idle_timeout_seconds: int | None = 600
    sandbox_id: str | None = None
    nas_config: NASConfig | None = None
    oss_mount_config: OSSMountConfig | None = None
    polar_fs_config: PolarFsConfig | None = None


class ListSandboxesInput(Model):
    """Which sandboxes to list; `next_token` comes from the page before. Only the local platform knows `metadata`."""

    max_results: int | None = 10
    next_token: str | None = None
    status: str | None = None
    template_name: str | None = None
    template_type: TemplateType | None = None
    metadata: dict[str, str] | None = None

    def to_wire(self) -> dict[str, Any]:
        """What travels; each name of the metadata is a filter of its own."""
        fields = super().to_wire()
        wanted: dict[str, str] = fields.pop("metadata", None) or {}
        return {**fields, **{f"metadata.{name}": value for name, value in wanted.items()}}


class PageableInput(core.PageableInput):
    """Which templates to list."""

    page_number: int | None = 1
    page_size: int | None = 10
    template_type: TemplateType | None = None
    workspace_id: str | None = None
