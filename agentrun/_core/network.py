"""Which networks a resource reaches, and which storage it mounts: what runtimes, templates and models share."""

from __future__ import annotations

from agentrun._core.model import Model
from agentrun.status import NetworkMode


class NetworkConfig(Model):
    """The network of a resource; the identifiers belong to PRIVATE and PUBLIC_AND_PRIVATE."""

    network_mode: NetworkMode = NetworkMode.PUBLIC
    security_group_id: str | None = None
    vpc_id: str | None = None
    vswitch_ids: list[str] | None = None


class OSSMountPoint(Model):
    """A bucket's folder and where it appears."""

    bucket_name: str | None = None
    bucket_path: str | None = None
    endpoint: str | None = None
    mount_dir: str | None = None
    read_only: bool | None = None


class OSSMountConfig(Model):
    """The buckets to mount."""

    mount_points: list[OSSMountPoint] | None = None
