"""The states and enums that several resources share, in the service's own words."""

from __future__ import annotations

from enum import Enum


class Status(str, Enum):
    """Where a resource is in its life."""

    CREATING = "CREATING"
    CREATE_FAILED = "CREATE_FAILED"
    UPDATING = "UPDATING"
    UPDATE_FAILED = "UPDATE_FAILED"
    READY = "READY"
    DELETING = "DELETING"
    DELETE_FAILED = "DELETE_FAILED"

    @staticmethod
    def is_final_status(status: Status | str | None = None) -> bool:
        """Whether nothing more happens by itself; None counts as final."""
        return status not in (Status.CREATING, Status.UPDATING, Status.DELETING)

    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return Status.is_final_status(self)


class NetworkMode(str, Enum):
    """Which networks a resource can reach."""

    PUBLIC = "PUBLIC"
    PRIVATE = "PRIVATE"
    PUBLIC_AND_PRIVATE = "PUBLIC_AND_PRIVATE"
