"""TLS ended here and begun anew, for origins that credentials name: the only connections that are looked into.

The authority is this emulator's alone. Its key is nowhere but in this process, and its certificate is trusted nowhere
but inside sandboxes that have credentials.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
from collections import OrderedDict
from pathlib import Path

import certifi

from agentrun.emulator.authority import Authority
from agentrun.emulator.backends.injection.exchange import Streams
from agentrun.emulator.backends.trust import certificates

PROTOCOLS = ["http/1.1"]
HANDSHAKE_SECONDS = 20.0
MOST_CONTEXTS = 256


class Interceptor:
    """Speaks TLS as any host to the inside, and as a careful client to the outside.

    Origins are trusted as this machine trusts them, and by the certificates of the file `trusted`.
    """

    def __init__(self, trusted: Path | None = None) -> None:
        self._authority = Authority("agentrun emulator, for its sandboxes")
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        system = certificates() or Path(certifi.where())
        self.bundle = (
            b"\n".join(file.read_bytes() for file in (system, trusted) if file) + b"\n" + self._authority.certificate
        )
        self.outside = ssl.create_default_context()
        for file in (system, trusted):
            if file:
                self.outside.load_verify_locations(file)
        self.outside.set_alpn_protocols(PROTOCOLS)

    async def accept(self, host: str, near: Streams, limit: int) -> Streams:
        """Do the server's part of the handshake as this host. Raises OSError."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=limit)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport = await loop.start_tls(
            near[1].transport,
            protocol,
            self._context(host),
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
        if transport is None:
            raise ConnectionError("the handshake was given up")
        protocol.connection_made(transport)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def _context(self, host: str) -> ssl.SSLContext:
        context = self._contexts.get(host)
        if context is None:
            context = self._contexts[host] = self._made(host)
            if len(self._contexts) > MOST_CONTEXTS:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(host)
        return context

    def _made(self, host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(PROTOCOLS)
        issued, password = self._authority.issue(host, host), secrets.token_bytes(32)
        # OpenSSL takes keys from files only, so this is one that has no name and no place on a disk.
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, issued.certificate + issued.key_under(password))
            context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=password)
        finally:
            os.close(descriptor)

        def check(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, of: ssl.SSLContext) -> int | None:
            return None if name in (None, host) else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

        context.sni_callback = check
        return context
