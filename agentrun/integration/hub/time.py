"""The time, here and elsewhere."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

from agentrun.errors import InvalidInputError
from agentrun.integration._function import tool
from agentrun.integration._toolset import CommonToolSet


def _zone(name: str, field: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidInputError(
            f"{name!r} is no time zone", field=field, hint="Give one such as Europe/Berlin, Asia/Shanghai or UTC"
        ) from error


def _told(moment: datetime) -> dict[str, Any]:
    offset = moment.strftime("%z")
    return {
        "time": moment.isoformat(timespec="seconds"),
        "time_zone": str(moment.tzinfo),
        "weekday": moment.strftime("%A"),
        "utc_offset": f"{offset[:3]}:{offset[3:5]}",
        "daylight_saving_time": bool(moment.dst()),
    }


class TimeToolSet(CommonToolSet):
    """Tells the time, and converts it between time zones."""

    @tool
    def now(self, time_zone: str = "UTC") -> dict[str, Any]:
        """The current date and time in a time zone.

        Args:
            time_zone: An IANA name such as Europe/Berlin.
        """
        return _told(datetime.now(timezone.utc).astimezone(_zone(time_zone, "time_zone")))

    @tool
    def convert_time(self, time: datetime, from_time_zone: str, to_time_zone: str) -> dict[str, Any]:
        """Convert a date and time from one time zone to another.

        Args:
            time: Such as 2026-03-29T14:30; one with an offset is taken as it is.
            from_time_zone: The IANA name of the time zone in which the time was told.
            to_time_zone: The IANA name of the time zone in which it is wanted.
        """
        source, target = _zone(from_time_zone, "from_time_zone"), _zone(to_time_zone, "to_time_zone")
        moment = time if time.tzinfo else time.replace(tzinfo=source)
        return {
            "from": _told(moment.astimezone(timezone.utc).astimezone(source)),
            "to": _told(moment.astimezone(target)),
        }


def toolset() -> TimeToolSet:
    """Tells the time, and converts it between time zones."""
    return TimeToolSet()
