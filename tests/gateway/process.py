"""A gateway in a process of its own: `python -m tests.gateway.process PROXIES`, which prints its port."""

from __future__ import annotations

import json
import sys
import threading

from tests.gateway.serving import serving_gateway

if __name__ == "__main__":
    with serving_gateway(json.loads(sys.argv[1])) as gateway:
        print(gateway.port, flush=True)
        threading.Event().wait()  # until it is killed
