"""`python -m agentrun`: the same as `agentrun`."""

from __future__ import annotations

from agentrun.cli import main

if __name__ == "__main__":
    main()
