"""Which arguments of a box make sense here; the others are refused with what to do instead."""

from __future__ import annotations

from typing import Any

from agentrun.errors import InvalidInputError

_ELSEWHERE = {
    "base_url": "Give config=Config(...), or set the environment as `agentrun emulator env` prints it",
    "bearer_token": "Give config=Config(...) with an access key",
    "workspace_dir": "Send files with box.fs.write_from_path; a sandbox never writes to folders of this machine",
}


def refuse_what_is_elsewhere(
    kind: str, base_url: str | None, bearer_token: str | None, sandbox_type: Any, workspace_dir: str | None
) -> None:
    """Raise InvalidInputError for what a box of this type does not have."""
    given = {"base_url": base_url, "bearer_token": bearer_token, "workspace_dir": workspace_dir}
    for name, value in given.items():
        if value is not None:
            raise InvalidInputError(f"{name} has no meaning here", field=name, hint=_ELSEWHERE[name])
    wanted = str(getattr(sandbox_type, "value", sandbox_type)).removesuffix("_async")
    if sandbox_type is not None and wanted != kind:
        hint = f"Leave it away, or use the class for {wanted!r}"
        raise InvalidInputError(f"this is a box of type {kind!r}, not {wanted!r}", field="sandbox_type", hint=hint)


def checked_timeout(seconds: Any) -> int:
    """How long a call may take; raises InvalidInputError unless it is a number of seconds above 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 1:
        raise InvalidInputError(f"timeout is a number of seconds from 1 on, not {seconds!r}", field="timeout")
    return int(seconds)
