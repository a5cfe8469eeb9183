#!/bin/sh
# Installs what a code interpreter needs, on any Debian system with or without Python; runs inside `docker build`.
set -eu

HOST=/run/host
VENV=/opt/venv
export PIP_CONFIG_FILE=$HOST/pip.conf PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
if [ -s $HOST/certificates.pem ]; then export PIP_CERT=$HOST/certificates.pem; fi

missing() {
    for program in git node bash ps; do command -v "$program" >/dev/null || return 0; done
    ! python3 -c 'import ensurepip, venv' 2>/dev/null
}

if missing; then
    echo 'installing packages of the system'
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    python=
    command -v python3 >/dev/null || python='python3 python3-venv'
    # shellcheck disable=SC2086  # no package or two
    apt-get install -y -q --no-install-recommends bash ca-certificates git nodejs procps $python
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*
fi

echo 'installing packages of Python'
python3 -m venv $VENV
$VENV/bin/pip install --progress-bar off -q -r $HOST/requirements.txt

# The server of the sandbox is put there by the next image; a path file lets it be imported without PYTHONPATH.
mkdir -p /opt/agentrun
echo /opt/agentrun >"$($VENV/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/agentrun.pth"

# Homes begin empty and in memory: what costs time to make is made here and copied into each.
HOME=/etc/skel $VENV/bin/python -c 'import matplotlib.font_manager'
$VENV/bin/python -m compileall -q $VENV/lib || true
chmod -R a+rX /opt /etc/skel
mkdir -p /home/user /run/agentrun
