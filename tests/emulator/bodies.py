"""Request bodies that the service accepts, for tests to send as they are or spoil."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping
from typing import Any

from agentrun._core.checksum import crc64
from tests.canary import canary

SECRET, API_KEY = canary("credential"), canary("api-key")


def credential(name: str = "key", **changes: Any) -> dict[str, Any]:
    return {
        "credentialName": name,
        "credentialAuthType": "api_key",
        "credentialSourceType": "internal",
        "credentialPublicConfig": {"headerKey": "Authorization", "users": []},
        "credentialSecret": SECRET,
        **changes,
    }


def model_service(name: str = "model", **changes: Any) -> dict[str, Any]:
    return {
        "modelServiceName": name,
        "modelType": "llm",
        "provider": "openai",
        "providerSettings": {"baseUrl": "http://127.0.0.1:1/v1", "apiKey": API_KEY, "modelNames": ["m"]},
        **changes,
    }


def model_proxy(name: str = "proxy", **changes: Any) -> dict[str, Any]:
    return {
        "modelProxyName": name,
        "proxyMode": "single",
        "proxyConfig": {"endpoints": [{"baseUrl": "http://127.0.0.1:1/v1", "modelNames": ["m"]}]},
        "cpu": 2.0,
        "memory": 4096,
        **changes,
    }


def template(name: str = "python", **changes: Any) -> dict[str, Any]:
    return {
        "templateName": name,
        "templateType": "CodeInterpreter",
        "cpu": 2.0,
        "memory": 4096,
        "networkConfiguration": {"networkMode": "PUBLIC"},
        **changes,
    }


def zipped(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def code(archive: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "zipFile": base64.b64encode(archive).decode(),
        "checksum": str(crc64(archive)),
        "language": "python3.12",
        "command": ["python3", "main.py"],
        **changes,
    }


def runtime(name: str = "agent", archive: bytes | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "agentRuntimeName": name,
        "artifactType": "Code",
        "codeConfiguration": code(archive or zipped({"main.py": "import time; time.sleep(60)"})),
        "cpu": 2.0,
        "memory": 4096,
        "port": 9000,
        "networkConfiguration": {"networkMode": "PUBLIC"},
        **changes,
    }
