#!/usr/bin/env bash
# Makes .cache/official, an environment of its own for the official SDK, and says so; silent when it is there.
# It cannot share ours: both packages are called agentrun. About 700 MB, most of it dependencies.
#
# usage: scripts/parity_env.sh      PYTHON=... picks the interpreter
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.cache/official
REQUIREMENT='agentrun-sdk==0.0.54'
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

say() { echo "[parity] $*" >&2; }

# The environment is good while the folder, the requirement and the interpreter are the ones it was made for.
fingerprint() {
    { pwd -P && cat scripts/parity_env.sh && "$VENV/bin/python" -VV; } 2>/dev/null | cksum
}

is_ready() { [ -f "$VENV/.ready" ] && [ "$(cat "$VENV/.ready")" = "$(fingerprint)" ]; }

is_ready && exit

mkdir -p .cache
exec 8>.cache/official.lock
if command -v flock >/dev/null; then flock 8; fi
is_ready && exit
python=${PYTHON:-.venv/bin/python}
[ -x "$(command -v "$python")" ] || python=python3
say "creating $VENV with $("$python" -V) ..."
"$python" -m venv --clear "$VENV"
say "installing $REQUIREMENT, which takes a minute or two ..."
"$VENV/bin/python" -m pip install -qq --only-binary=:all: "$REQUIREMENT" >.cache/official.log 2>&1 ||
    "$VENV/bin/python" -m pip install -qq "$REQUIREMENT" >>.cache/official.log 2>&1 ||
    {
        tail -n 20 .cache/official.log >&2
        say "pip could not install $REQUIREMENT; the whole log is in .cache/official.log"
        exit 1
    }
fingerprint >"$VENV/.ready"
say "ready after $SECONDS s"
