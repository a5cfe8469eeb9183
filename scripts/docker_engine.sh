#!/usr/bin/env bash
# Makes sure that a container engine answers on this machine, for the tests of the docker backend; silent when one does.
#
# usage: scripts/docker_engine.sh          as root, or as a user who may use sudo without a password
#
# Prints the process id of the engine when it started one, so that the caller can end it. The exit status is 3 when this
# machine or this user cannot have an engine at all, and 1 when it should have started and did not.
#
# Debian's docker.io is installed when there is no dockerd, and dockerd is started when none answers: without systemd
# too, as in a virtual machine of a CI service. An engine that answers already is left as it is; a second one in the
# same network namespace would fight with it over its bridge.
set -euo pipefail

SOCKET=/var/run/docker.sock
LOG=/var/log/agentrun-dockerd.log
PID_FILE=/var/run/docker.pid
SECONDS_TO_START=30
CANNOT=3

say() { echo "[docker] $*" >&2; }

fail() {
    say "$*"
    exit 1
}

cannot() {
    say "$*"
    exit "$CANNOT"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# With `as_root` in front the question is whether there is one, without it whether this user may use it.
answers() { "$@" curl -fs --max-time 5 --unix-socket "$SOCKET" http://engine/_ping >/dev/null 2>&1; }

# A file that an ended engine left may name a process that is somebody else's by now.
is_running() { [ -f "$PID_FILE" ] && [ "$(cat "/proc/$(as_root cat "$PID_FILE")/comm" 2>/dev/null)" = dockerd ]; }

apt_install() {
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@")
    as_root "${install[@]}" >/dev/null 2>&1 || { as_root apt-get update -q >/dev/null && as_root "${install[@]}" >/dev/null; }
}

need_packages() {
    local missing=()
    command -v curl >/dev/null || missing+=(curl)
    command -v dockerd >/dev/null || missing+=(docker.io)
    command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null || cannot "install ${missing[*]} with the package manager of this system, then run this again"
    say "installing ${missing[*]} ..."
    apt_install "${missing[@]}" || cannot "could not install ${missing[*]}; run: sudo apt-get install ${missing[*]}"
}

# A plain start works where there is no systemd; the engine outlives this script and the terminal.
start_engine() {
    # An engine does not start while the file names a process, whosever it is; ours would have answered.
    as_root rm -f "$PID_FILE"
    # shellcheck disable=SC2024  # the log belongs to root, and `sh` inside opens it
    as_root sh -c "setsid dockerd >$LOG 2>&1 </dev/null &"
    local waited=0
    until answers as_root; do
        sleep 0.2
        waited=$((waited + 1))
        [ "$waited" -lt $((SECONDS_TO_START * 5)) ] || {
            as_root tail -n 20 "$LOG" >&2
            fail "dockerd did not answer within $SECONDS_TO_START s; the whole log is in $LOG"
        }
    done
}

# Containers need mounts and control groups, which a container in which this runs may not be allowed to have.
need_rights() {
    as_root true 2>/dev/null || cannot "an engine needs root: run this as root, or as a user of sudo without a password"
    as_root unshare --mount true 2>/dev/null || cannot "this machine allows root no mounts: in a container, run it with --privileged"
}

if answers && command -v mmdebstrap >/dev/null; then exit; fi
need_rights
need_packages
if ! answers as_root; then
    is_running && fail "a dockerd runs (pid $(as_root cat "$PID_FILE")) but does not answer at $SOCKET: look at its log before another is started"
    say "starting dockerd ..."
    start_engine
    say "ready; stop it with: sudo kill $(as_root cat "$PID_FILE")"
    as_root cat "$PID_FILE"
    echo
fi
answers || cannot "you may not use the engine: run \`sudo usermod -aG docker $(id -un)\` and log in again"
