"""Our control-plane signature against that of an independent implementation."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import pytest

from agentrun._core import signing

openapi: Any = pytest.importorskip("alibabacloud_tea_openapi.utils", reason="comes with `--group parity`")

QUERIES: list[dict[str, str]] = [
    {},
    {"pageNumber": "1", "pageSize": "50"},
    {"name": "a b", "Name": "ü/~*'()!", "z": "", "status": "READY,CREATING"},
    {"q": "a+b&c=d%20", "emoji": "🙂"},
]
PAYLOAD = hashlib.sha256(b'{"name":"x"}').hexdigest()
HEADERS = {
    "host": "agentrun.cn-hangzhou.aliyuncs.com",
    "content-type": "application/json; charset=utf-8",
    "user-agent": "  somebody  ",
    "x-acs-action": "CreateThing",
    "x-acs-content-sha256": PAYLOAD,
    "x-acs-date": "2026-11-20T12:25:30Z",
    "x-acs-security-token": "TOKEN",
    "x-acs-signature-nonce": "4652ff5895b274f2a939f7acc3980bc2",
}


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/2025-09-10/agents/runtimes", "/2025-09-10/templates/a%20b%2Fc~"])
def test_both_sign_alike(method: str, path: str, query: dict[str, str]) -> None:
    request = SimpleNamespace(method=method, pathname=path, query=query, headers=dict(HEADERS))
    theirs: str = openapi.Utils.get_authorization(request, signing.CONTROL_ALGORITHM, PAYLOAD, "AK", "SECRET")
    given = signing.parse_authorization(theirs)
    assert given is not None
    assert {"host", "content-type", "x-acs-action", "x-acs-security-token"} <= set(given.signed_headers)
    ours = signing.sign_control("SECRET", method, path, query.items(), HEADERS, given.signed_headers, PAYLOAD)
    assert theirs == signing.control_authorization("AK", given.signed_headers, ours)
