"""The CredentialSource port over workload identity: access tokens in the place of keys, none of them stored.

Knows: which credential is which trust, and what stands in for it. Must not know: HTTP, files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from broker.adapters.ephemeral_keys import (
    SILENT,
    ErrorCode,
    Issued,
    IssuerObserver,
    RenewedKey,
    RetireReason,
    SourceError,
    refused,
    trouble,
    unready,
)
from broker.adapters.ephemeral_keys.federation.exchange import TokenEndpoint, Trust
from broker.adapters.ephemeral_keys.federation.subject import SubjectToken
from broker.errors import BrokerError
from broker.model.secret import Lease
from broker.ports import Clock, CredentialSource

_PATIENCE_WITH_FALLBACK = 0.9  # what is left of two seconds is the fallback's


@dataclass(frozen=True, slots=True)
class Federated:
    """One credential: whose subject token is exchanged, for what, and which credential of the fallback
    stands in while no access token can be had (None: calls are refused then).
    """

    subject: SubjectToken
    trust: Trust
    fallback: str | None = None


class FederatedKeySource:
    """Implements ports.CredentialSource over access tokens. Belongs to one event loop; `start` it there,
    `aclose` it there.

    A token is replaced at two thirds of its life; calls do not wait for that. Where it has ended and no other
    is to be had, calls get `fallback`'s lease if the credential names one, which is told loudly, and access
    tokens again as soon as there are any. Raises ValueError where a credential names one that is not there.
    """

    def __init__(
        self,
        credentials: Mapping[str, Federated],
        endpoint: TokenEndpoint,
        clock: Clock,
        observer: IssuerObserver = SILENT,
        fallback: CredentialSource | None = None,
    ) -> None:
        if fallback is None and any(one.fallback is not None for one in credentials.values()):
            raise ValueError("a credential names a fallback, but there is no store for it")
        self._credentials = dict(credentials)
        self._endpoint = endpoint
        self._fallback = fallback
        self._observer = observer
        self._now = clock.monotonic_ns
        self._log = structlog.get_logger()
        self._fallen: set[str] = set()
        self._kept = {
            name: RenewedKey(
                name, f"workload_identity:{name}", partial(self._issue, one), _ends_by_itself, clock, observer
            )
            for name, one in credentials.items()
        }

    async def start(self) -> None:
        """Begins to exchange. Never fails: while OpenAI is away, it tries again and again."""
        for kept in self._kept.values():
            kept.start()

    def unready(self) -> str:
        """Why there has been no key for any credential since the start, or an empty string."""
        return unready("workload identity", self._kept.values())

    def trouble(self) -> str:
        """What keeps some credential from its next key, or an empty string."""
        return trouble(self._kept.values())

    async def lease(self, credential: str) -> Lease:
        """See ports.CredentialSource. Answers within 2 s whatever OpenAI does; a dictionary and a clock where
        a token is held.
        """
        kept = self._kept.get(credential)
        if kept is None:
            raise refused(ErrorCode.UNKNOWN).error()
        held = kept.held
        if held is not None and self._now() < held.use_until and not self._fallen:
            return held.lease
        return await self._waited(credential, kept)

    def revoke(self, credential: str) -> None:
        """No call gets the present token any more; another is asked for. OpenAI ends it by its own time."""
        kept = self._kept.get(credential)
        if kept is not None:
            kept.drop()

    async def aclose(self) -> None:
        """Forgets all tokens."""
        kept, self._kept = self._kept, {}
        for token in kept.values():
            await token.aclose()
        for one in self._credentials.values():
            one.subject.close()
        await self._endpoint.aclose()

    async def _waited(self, credential: str, kept: RenewedKey) -> Lease:
        stand_in = self._credentials[credential].fallback
        if stand_in is None or self._fallback is None:
            return await kept.wait()
        patience = 0.0 if credential in self._fallen else _PATIENCE_WITH_FALLBACK
        try:
            lease = await kept.wait(patience)
        except BrokerError as error:
            trouble = error.message
        else:
            self._come_back(credential)
            return lease
        self._fall_back(credential, stand_in, trouble)
        return await self._fallback.lease(stand_in)

    async def _issue(self, one: Federated) -> Issued | SourceError:
        subject = await one.subject.read()
        if isinstance(subject, SourceError):
            return subject
        return await self._endpoint.exchange(subject, one.trust)

    def _fall_back(self, credential: str, stand_in: str, trouble: str) -> None:
        self._observer.fell_back(credential)
        if credential not in self._fallen:
            self._fallen.add(credential)
            self._log.error(
                "access_token_fallback",
                credential=credential,
                fallback=stand_in,
                why=trouble,
                remedy="Mend workload identity; calls go back to it by themselves.",
            )

    def _come_back(self, credential: str) -> None:
        if credential in self._fallen:
            self._fallen.discard(credential)
            self._observer.came_back(credential)
            self._log.info("access_tokens_restored", credential=credential)


def _ends_by_itself(issued: Issued, ending: RetireReason) -> None:
    """An access token cannot be deleted: it has an end of its own, an hour away at most."""
    del issued, ending
