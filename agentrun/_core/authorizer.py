"""Gives requests the proof of one credential, whatever its kind, and a new token where one was refused."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from agentrun._core.oauth2 import Grant, Post, Rotated, Tokens
from agentrun._core.outbound import AUTHORIZATION, Outbound, Outgoing, Place, Proof, proof

Read: TypeAlias = Callable[[], Awaitable[Outbound]]
"""Gives the credential as it is now."""


class Authorizer:
    """Shows one credential: what it is now is asked for each request, tokens are kept between them."""

    def __init__(
        self, read: Read, post: Post, *, rotated: Rotated | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._read = read
        self._post = post
        self._rotated = rotated
        self._clock = clock
        self._tokens: Tokens | None = None

    async def proof(self, request: Outgoing, place: Place | None = None) -> Proof:
        """What a request has to carry; raises CredentialError, and what reading and posting raise."""
        return await self._proof(request, place, None)

    async def again(self, request: Outgoing, shown: Proof, place: Place | None = None) -> Proof | None:
        """What to show instead of what was refused by a 401; None when there is nothing else to show."""
        found = await self._proof(request, place, shown.headers.get(AUTHORIZATION, "").removeprefix("Bearer "))
        return None if self._tokens is None or found == shown else found

    async def _proof(self, request: Outgoing, place: Place | None, refused: str | None) -> Proof:
        credential = await self._read()
        if not credential.needs_token:
            self._tokens = None
            return proof(credential, request, place)
        credential.check_enabled()
        tokens = self._tokens_of(Grant.of(credential))
        return proof(credential, request, token=await tokens.get(refused))

    def _tokens_of(self, grant: Grant) -> Tokens:
        if self._tokens is None or not self._tokens.serve(grant):
            self._tokens = Tokens(grant, self._post, clock=self._clock, rotated=self._rotated)
        return self._tokens
