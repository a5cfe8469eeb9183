#!/usr/bin/env bash
# Runs the tests of MCP with the 1.x line of the `mcp` package; .venv has the 2.x line, and one environment takes only one.
# The environment, .venv-mcp1, is kept and made anew when pyproject.toml, this script or the interpreter changed.
#
# usage: scripts/check_mcp1.sh [PYTEST OPTION ...]      PYTHON=... picks the interpreter
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv-mcp1
REQUIREMENT='mcp<2'
TESTS=(tests/unit/toolset/mcp)
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

say() { echo "[mcp1] $*" >&2; }

fingerprint() {
    { pwd -P && cat pyproject.toml scripts/check_mcp1.sh && "$VENV/bin/python" -VV; } 2>/dev/null | cksum
}

is_ready() { [ -f "$VENV/.ready" ] && [ "$(cat "$VENV/.ready")" = "$(fingerprint)" ]; }

make_environment() {
    say "creating $VENV with $REQUIREMENT ..."
    "${PYTHON:-.venv/bin/python}" -m venv --clear "$VENV"
    "$VENV/bin/python" -m pip install -qq --upgrade 'pip>=25.1'
    "$VENV/bin/python" -m pip install -qq --editable '.[emulator]' "$REQUIREMENT" --group unit >.cache/mcp1.log 2>&1 || {
        tail -n 20 .cache/mcp1.log >&2
        say "pip could not install $REQUIREMENT; the whole log is in .cache/mcp1.log"
        exit 1
    }
    fingerprint >"$VENV/.ready"
    say "ready after $SECONDS s"
}

mkdir -p .cache
exec 7>.cache/mcp1.lock
if command -v flock >/dev/null; then flock 7; fi
is_ready || make_environment
"$VENV/bin/python" -c 'from importlib.metadata import version; print("mcp", version("mcp"))'
"$VENV/bin/python" -m pytest --quiet -p no:cacheprovider "${TESTS[@]}" "$@"
