#!/usr/bin/env bash
# Runs the unit tests, and those of what sandboxes load, with the lowest version that pyproject.toml allows of each
# direct dependency.
# PYTHON=... picks the interpreter; without it the oldest one at hand is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv-lowest
TESTS=(tests/unit tests/emulator/backends/test_rich_results.py tests/emulator/backends/test_languages.py
    tests/emulator/backends/test_pty.py
    # Our own text, and what a browser does with our own page: no version changes that.
    --ignore tests/unit/test_layers.py --ignore tests/unit/server/page)
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

oldest_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.10 .venv/bin/python; do
        # Run it: a version manager puts names on the path that lead nowhere.
        "$candidate" -c 'import ensurepip, venv' 2>/dev/null && echo "$candidate" && return
    done
}

mkdir -p .cache
.venv/bin/python scripts/lowest.py >.cache/lowest.txt
"$(oldest_python)" -m venv --clear "$VENV"
# pip tries versions one by one, and does not come to an end with so many that are held low.
"$VENV/bin/python" -m pip install -qq 'uv>=0.7'
"$VENV/bin/python" -m uv --quiet pip install --python "$VENV/bin/python" --constraint .cache/lowest.txt --editable '.[emulator,data,docker,gateway,kernels,mysql,postgresql,redis,server,tools,tracing]' --group unit --group server
echo "$("$VENV/bin/python" -V) with $(paste -s -d ' ' .cache/lowest.txt)"
"$VENV/bin/python" -m pytest --quiet -p no:cacheprovider \
    --numprocesses logical --maxprocesses 4 --dist loadgroup "${TESTS[@]}" "$@"
