#!/usr/bin/env bash
# Runs the tests of a protocol with the older line of its package; .venv has the newer one, and one environment takes
# only one of them. The environment, .venv-LINE, is kept and made anew when pyproject.toml, this script or the
# interpreter changed.
#
# usage: scripts/check_line.sh mcp1 | a2a0 [PYTEST OPTION ...]      PYTHON=... picks the interpreter
set -euo pipefail
cd "$(dirname "$0")/.."

LINE=${1:-}
shift || true
case "$LINE" in
mcp1)
    PACKAGE=mcp REQUIREMENT='mcp<2'
    TESTS=(tests/unit/toolset/mcp tests/unit/server/test_mcp.py)
    ;;
a2a0)
    PACKAGE=a2a-sdk REQUIREMENT='a2a-sdk>=0.3,<1'
    TESTS=(tests/unit/server/a2a)
    ;;
*)
    echo "usage: scripts/check_line.sh mcp1 | a2a0 [PYTEST OPTION ...]" >&2
    exit 2
    ;;
esac
VENV=.venv-$LINE
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

say() { echo "[$LINE] $*" >&2; }

fingerprint() {
    { pwd -P && cat pyproject.toml scripts/check_line.sh && "$VENV/bin/python" -VV; } 2>/dev/null | cksum
}

is_ready() { [ -f "$VENV/.ready" ] && [ "$(cat "$VENV/.ready")" = "$(fingerprint)" ]; }

make_environment() {
    say "creating $VENV with $REQUIREMENT ..."
    "${PYTHON:-.venv/bin/python}" -m venv --clear "$VENV"
    "$VENV/bin/python" -m pip install -qq --upgrade 'pip>=25.1'
    "$VENV/bin/python" -m pip install -qq --editable '.[emulator,server]' "$REQUIREMENT" --group unit >".cache/$LINE.log" 2>&1 || {
        tail -n 20 ".cache/$LINE.log" >&2
        say "pip could not install $REQUIREMENT; the whole log is in .cache/$LINE.log"
        exit 1
    }
    fingerprint >"$VENV/.ready"
    say "ready after $SECONDS s"
}

mkdir -p .cache
exec 7>".cache/$LINE.lock"
if command -v flock >/dev/null; then flock 7; fi
is_ready || make_environment
"$VENV/bin/python" -c 'import sys; from importlib.metadata import version; print(sys.argv[1], version(sys.argv[1]))' "$PACKAGE"
"$VENV/bin/python" -m pytest --quiet -p no:cacheprovider "${TESTS[@]}" "$@"
