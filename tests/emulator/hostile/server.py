"""An emulator that lives as long as its stdin: `python -m tests.emulator.hostile.server`.

Its arguments are BACKEND FOLDER ACCOUNT SECRET DESCRIPTORS.

It tells one line of JSON, and has a template with less memory than users may ask for, so that attacks are short.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from agentrun._core.local import REGION, account_id
from agentrun.emulator import Emulator
from agentrun.emulator.store import Record, Scope
from tests.emulator import bodies

SECONDS = 600


def template(name: str, memory: int, disk: int, mode: str = "PUBLIC") -> dict[str, object]:
    """A template as the store has it."""
    return bodies.template(
        name,
        memory=memory,
        diskSize=disk,
        networkConfiguration={"networkMode": mode},
        sandboxIdleTimeoutInSeconds=SECONDS,
        sandboxTTLInSeconds=SECONDS,
    )


def main(backend: str, folder: Path, account: str, secret: str, descriptors: int) -> None:
    """Serve until stdin ends, with so many descriptors."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(descriptors, most), most))
    with Emulator(state=folder / "state", backend=backend, access_keys={account: secret}) as emulator:
        scope, store = Scope(account_id(account), REGION), emulator.platform.store
        if store.get(scope, "Template", "tpl-small") is None:
            for name, mode in (("small", "PUBLIC"), ("offline", "PRIVATE")):
                store.insert(Record(scope, "Template", f"tpl-{name}", name, "READY", template(name, 256, 64, mode)))
        told = {
            "port": emulator.port,
            "directory": str(emulator.platform.directory),
            "account": account,
            "secret": secret,
        }
        print(json.dumps(told), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]))
