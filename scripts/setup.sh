#!/usr/bin/env bash
# Makes .venv ready for work and says so; silent and fast when nothing changed.
#
# usage: scripts/setup.sh [GROUP ...]      a group of [dependency-groups] in pyproject.toml: test, check
#
# The package with its emulator is always installed. PYTHON=... picks the interpreter of a new .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

say() { echo "[setup] $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# What an installed group depends on; it changes when the project, this script, the interpreter or the folder does.
fingerprint() {
    { pwd -P && cat pyproject.toml scripts/setup.sh && "$VENV/bin/python" -VV; } 2>/dev/null | cksum
}

is_ready() { [ -f "$VENV/.ready-$1" ] && [ "$(cat "$VENV/.ready-$1")" = "$FINGERPRINT" ]; }

mark_ready() { fingerprint >"$VENV/.ready-$1"; }

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.10 /usr/bin/python3 python; do
        # Run it: a version manager puts names on the path that lead nowhere.
        is_recent "$candidate" && command -v "$candidate" && return
    done
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Installs one Debian package, fetching the package lists only when that is what is missing.
apt_install() {
    command -v apt-get >/dev/null || return 1
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1")
    as_root "${install[@]}" >.cache/apt.log 2>&1 </dev/null && return
    as_root apt-get update -q >>.cache/apt.log 2>&1 </dev/null && as_root "${install[@]}" >>.cache/apt.log 2>&1 </dev/null
}

need_venv_module() {
    local python=$1 version
    "$python" -c 'import ensurepip, venv' 2>/dev/null && return
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    say "installing python$version-venv, which this Python lacks ..."
    apt_install "python$version-venv" || apt_install python3-venv || true
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "cannot create virtual environments; run: sudo apt-get install python3-venv"
}

create_venv() {
    local python
    python=$(find_python) || fail "Python 3.10 or newer is needed and none was found; install one or set PYTHON=/path/to/python3"
    need_venv_module "$python"
    say "creating $VENV with $("$python" -V) ..."
    "$python" -m venv --clear "$VENV"
}

# `pip install --group` came with pip 25.1.
upgrade_pip() {
    "$VENV/bin/python" -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (25, 1))' 2>/dev/null && return
    say "upgrading pip ..."
    "$VENV/bin/python" -m pip install -qq --upgrade 'pip>=25.1'
}

# Runs pip and shows one line per package it fetches, or the end of its log when it fails.
pip_install() {
    "$VENV/bin/python" -m pip install --progress-bar off "$@" 2>&1 | tee .cache/pip.log |
        sed -u -n -e 's/^Collecting \([A-Za-z0-9._-]*\).*/[setup]   \1/p' -e 's/^Installing collected .*/[setup]   unpacking .../p' >&2 ||
        {
            tail -n 20 .cache/pip.log >&2
            fail "pip could not install $*; the whole log is in .cache/pip.log"
        }
}

need_bubblewrap() {
    command -v bwrap >/dev/null && return
    say "installing bubblewrap, which isolates sandboxes and agents ..."
    apt_install bubblewrap ||
        say "bubblewrap could not be installed; for isolated sandboxes run: sudo apt-get install bubblewrap"
}

need_redis() {
    command -v redis-server >/dev/null && return
    say "installing redis-server, with which state that gateways share is tested ..."
    if ! apt_install redis-server; then
        say "redis-server could not be installed, and its tests are skipped; run: sudo apt-get install redis-server"
        return
    fi
    # Tests start servers of their own; the service that the package brings would only take its port.
    if [ -d /run/systemd/system ]; then as_root systemctl disable --now --quiet redis-server || true; fi
}

has_postgresql() { command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

need_postgresql() {
    has_postgresql && return
    say "installing postgresql, with which services of agents are tested ..."
    # Tests start servers of their own; without this the package makes and starts one that nobody asked for.
    if [ ! -e /etc/postgresql-common/createcluster.conf ] && as_root mkdir -p /etc/postgresql-common; then
        echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null || true
    fi
    apt_install postgresql ||
        say "postgresql could not be installed, and its tests are skipped; run: sudo apt-get install postgresql"
}

need_mariadb() {
    command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] && return
    say "installing mariadb-server-core, with which services of agents are tested ..."
    apt_install mariadb-server-core ||
        say "MariaDB could not be installed, and its tests are skipped; run: sudo apt-get install mariadb-server-core"
}

need_chromium() {
    command -v chromium >/dev/null && return
    say "installing chromium, in which the page to talk to an agent is tested ..."
    apt_install chromium ||
        say "chromium could not be installed, and its tests are skipped; run: sudo apt-get install chromium"
}

install_package() {
    upgrade_pip
    need_bubblewrap
    say "installing agentrun with its emulator ..."
    pip_install --editable '.[emulator]'
    mark_ready package
}

install_group() {
    if [ "$1" = test ]; then
        need_redis
        need_postgresql
        need_mariadb
        need_chromium
    fi
    say "installing the $1 tools ..."
    pip_install --group "$1"
    mark_ready "$1"
}

FINGERPRINT=$(fingerprint || true)
missing=()
for part in package "$@"; do
    is_ready "$part" || missing+=("$part")
done
[ ${#missing[@]} = 0 ] && exit

mkdir -p .cache
exec 9>.cache/setup.lock
# One set-up at a time: `make -j demo test` starts two.
if command -v flock >/dev/null; then flock 9; fi
is_recent "$VENV/bin/python" || create_venv
FINGERPRINT=$(fingerprint)
for part in "${missing[@]}"; do
    is_ready "$part" && continue
    if [ "$part" = package ]; then install_package; else install_group "$part"; fi
done
say "ready after $SECONDS s"
