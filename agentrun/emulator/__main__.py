"""`python -m agentrun.emulator`: what `agentrun emulator` starts, and nothing that it need not load."""

from __future__ import annotations

import os
import sys

from agentrun.emulator.daemon import main

if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is stopped and put away; to take the interpreter apart would cost more than all that.
    os._exit(status)
