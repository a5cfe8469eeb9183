"""`python -m agentrun.emulator`: what `agentrun emulator` starts, and nothing that it need not load."""

from __future__ import annotations

import sys

from agentrun.emulator.daemon import main

if __name__ == "__main__":
    sys.exit(main())
