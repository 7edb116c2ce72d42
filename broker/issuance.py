"""Tokens: from a client certificate and a wish, through policy and the log, to a certificate-bound token.

Knows: the order (certificate, policy, record, mint). Must not know: OAuth forms, gRPC messages.
"""

from __future__ import annotations

from broker.errors import BrokerError, Kind
from broker.identity.certificate import check_time, subject_of
from broker.identity.scope import split_entry
from broker.identity.token import TokenIssuer
from broker.model.answers import parse_token_decision
from broker.model.decision import PolicyVersion
from broker.model.record import Record, RecordType
from broker.model.subject import Grant, IssuedToken, Peer, Subject
from broker.model.token import TokenWish
from broker.ports import Authorizer, Clock, DecisionPoint, Ledger
from broker.shaping.policy_input import subject_input

_NS_PER_SECOND = 1_000_000_000
_MAX_TTL_SECONDS = 3600


class Issuance:
    """Issues tokens. No token leaves before its record is durable; a denial leaves a record too."""

    def __init__(
        self, authorizer: Authorizer, ledger: Ledger, tokens: TokenIssuer, clock: Clock, audience: str
    ) -> None:
        self._authorizer = authorizer
        self._ledger = ledger
        self._tokens = tokens
        self._clock = clock
        self._audience = audience

    async def issue(self, peer: Peer, wish: TokenWish, transport: str, call_id: str) -> IssuedToken:
        """Raises CERTIFICATE_INVALID, BAD_REQUEST, POLICY_DENIED or one of the *_UNAVAILABLE kinds."""
        now_ns = self._clock.now_ns()
        check_time(peer, now_ns // _NS_PER_SECOND)
        subject = subject_of(peer)
        token_id = f"tok_{self._clock.random_bytes(16).hex()}"
        try:
            grant, rule, policy = await self._decide(subject, wish, transport, now_ns)
        except BrokerError as error:
            await self._ledger.append(_denied(subject, peer, transport, call_id, error))
            raise
        issued = self._tokens.mint(
            subject, peer, grant, token_id=token_id, now_seconds=now_ns // _NS_PER_SECOND
        )
        await self._ledger.append(
            Record(
                type=RecordType.TOKEN,
                call_id=call_id,
                user=grant.user or subject.id,
                subject=subject.id,
                actor_chain=subject.actor_chain,
                tenant=subject.tenant,
                cert_sha256=peer.cert_sha256,
                token_id=token_id,
                transport=transport,
                decision="allow",
                rule=rule,
                policy_revision=policy.revision,
                policy_sha256=policy.sha256,
                scope=" ".join(grant.scope),
            )
        )
        return issued

    async def _decide(
        self, subject: Subject, wish: TokenWish, transport: str, now_ns: int
    ) -> tuple[Grant, str, PolicyVersion]:
        if wish.audience not in (None, self._audience):
            raise BrokerError(
                Kind.BAD_REQUEST,
                "This broker issues tokens for itself only.",
                param="audience",
                remedy=f"Leave the audience out, or ask for {self._audience}.",
            )
        verdict = await self._authorizer.evaluate(
            DecisionPoint.TOKENS, _input(subject, wish, transport, now_ns)
        )
        decision = parse_token_decision(verdict.result, verdict.policy)
        if not decision.allow or decision.grant is None:
            raise BrokerError(
                Kind.POLICY_DENIED,
                f"Policy grants no token. {decision.reason}",
                rule=decision.rule,
                remedy="Ask for what your grant holds, or ask the security team to widen it.",
            )
        if not 0 < decision.grant.ttl_seconds <= _MAX_TTL_SECONDS:
            raise BrokerError(
                Kind.POLICY_ENGINE_UNAVAILABLE,
                f"The policy granted a token life outside 1 to {_MAX_TTL_SECONDS} s.",
                remedy="Correct `grant.ttl_seconds` in broker.tokens.",
            )
        return decision.grant, decision.rule, decision.policy


def _input(subject: Subject, wish: TokenWish, transport: str, now_ns: int) -> dict[str, object]:
    asked = [split_entry(entry) for entry in wish.scope]
    return {
        "v": 1,
        "subject": subject_input(subject),
        "request": {
            "scope": [{"operation": operation, "model": model} for operation, model in asked],
            "ttl_seconds": wish.ttl_seconds,
            "user": wish.user,
            "max_tokens": wish.max_tokens,
            "audience": wish.audience,
        },
        "transport": transport,
        "now_ns": now_ns,
    }


def _denied(subject: Subject, peer: Peer, transport: str, call_id: str, error: BrokerError) -> Record:
    return Record(
        type=RecordType.DENIED,
        call_id=call_id,
        user=subject.id,
        subject=subject.id,
        actor_chain=subject.actor_chain,
        tenant=subject.tenant,
        cert_sha256=peer.cert_sha256,
        transport=transport,
        operation="token.issue",
        decision="deny" if error.kind is Kind.POLICY_DENIED else "refuse",
        reason=error.kind.value,
        rule=error.rule,
        error=error.param,
    )
