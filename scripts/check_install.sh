#!/usr/bin/env bash
# Installs the package alone into an empty environment, as its users do, and imports it there.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.venv/bin/python -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check --root-user-action ignore .

cd "$folder"
printed=$(venv/bin/python -I -c 'import agentrun' 2>&1)
if [ -n "$printed" ]; then
    echo "import agentrun prints: $printed" >&2
    exit 1
fi
venv/bin/python -I - <<'PYTHON'
import sys
from importlib.metadata import files, requires

import agentrun

heavy = {"httpx", "pydantic", "anyio", "tenacity", "websockets", "alibabacloud_credentials"} & set(sys.modules)
assert not heavy, f"import agentrun also loads {heavy}"
missing = [name for name in agentrun.__all__ if not hasattr(agentrun, name)]
assert not missing, f"without extras these public names do not resolve: {missing}"
shipped = {str(path) for path in files("agentrun") or ()}
assert "agentrun/py.typed" in shipped, "py.typed is not in the wheel"
assert any(path.endswith("licenses/LICENSE") for path in shipped), "LICENSE is not in the wheel"
direct = [line for line in requires("agentrun") or () if "extra ==" not in line]
assert len(direct) <= 8, f"more than 8 direct dependencies: {direct}"
print(f"agentrun {agentrun.__version__} installs alone: {len(shipped)} files, {len(direct)} direct dependencies")
PYTHON
