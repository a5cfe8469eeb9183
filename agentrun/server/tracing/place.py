"""Where traces are kept on this machine, and where a server shows them."""

from __future__ import annotations

import os
from pathlib import Path

TRACES = "AGENTRUN_TRACES"
PATH = "/_agentrun/traces"
_NO = frozenset({"", "0", "false", "no", "off"})
_YES = frozenset({"1", "true", "yes", "on"})


def usual_file() -> Path:
    """Where traces are unless somebody says otherwise: below XDG_STATE_HOME, usually ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "agentrun" / "traces.db"


def trace_file(said: bool | str | None) -> Path | None:
    """The file for what a configuration says, and without a word for what AGENTRUN_TRACES does; None for none.

    Both may name a file, or say just that there is to be one.
    """
    wanted = os.environ.get(TRACES, "") if said is None else str(said)
    if wanted.strip().lower() in _NO:
        return None
    return usual_file() if wanted.strip().lower() in _YES else Path(wanted).expanduser().absolute()
