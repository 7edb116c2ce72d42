"""Tokens: from a client certificate, through policy and the log, to a token that is bound to it.

Knows: the order (certificate, policy, record, mint). Must not know: OAuth forms, gRPC messages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import tzinfo

from broker.catalog.models import find
from broker.errors import BrokerError, Kind
from broker.identity.certificate import check_time, subject_of
from broker.identity.scope import split_entry
from broker.identity.token import TokenVerifier
from broker.model.answers import parse_token_decision
from broker.model.decision import TokenDecision
from broker.model.operation import AdminAction, Operation
from broker.model.record import Record, RecordType
from broker.model.request_context import RequestContext
from broker.model.subject import Grant, IssuedToken, Subject
from broker.model.token import MAX_TOKEN_SECONDS, AccessTokenRequest
from broker.model.units import NS_PER_SECOND
from broker.ports import Authorizer, Clock, DecisionPoint, Ledger
from broker.shaping.denial import policy_denied
from broker.shaping.policy_input import subject_input, time_input
from broker.shaping.recorded_input import recorded_wish

_OPERATIONS = frozenset((*Operation, *AdminAction))


Sign = Callable[[bytes], Awaitable[str]]
"""The token with these claims, signed by whoever has the key. Raises BrokerError."""
Conceal = Callable[[str, str], str]
"""(what it is, the text) → the text, or its commitment where a rule finds something in it."""


class TokenIssuer:
    """Issues tokens. No token leaves before its record is durable; a denial leaves a record too."""

    def __init__(
        self,
        authorizer: Authorizer,
        ledger: Ledger,
        tokens: TokenVerifier,
        sign: Sign,
        clock: Clock,
        audience: str,
        zone: tzinfo,
        conceal: Conceal,
    ) -> None:
        """`sign` makes a token of claims; `conceal` gives a caller's own text as a record may hold it."""
        self._authorizer = authorizer
        self._ledger = ledger
        self._tokens = tokens
        self._sign = sign
        self._clock = clock
        self._audience = audience
        self._zone = zone
        self._conceal = conceal

    async def issue(self, context: RequestContext, wish: AccessTokenRequest) -> IssuedToken:
        """Raises CERTIFICATE_INVALID, BAD_REQUEST, POLICY_DENIED or one of the *_UNAVAILABLE kinds."""
        now_ns = self._clock.now_ns()
        check_time(context.peer, now_ns // NS_PER_SECOND)
        subject = subject_of(context.peer)
        about = _about(subject, context)
        try:
            self._check_audience(wish)
            document = self._input(subject, wish, context.transport, now_ns)
            own = {"user": self._shown("user", wish.user), "purpose": self._shown("purpose", wish.purpose)}
            about = about._replace(policy_input=recorded_wish(document, own, _exists))
            verdict = await self._authorizer.evaluate(DecisionPoint.TOKENS, document)
            about = about._replace(
                policy_revision=verdict.policy.revision, policy_sha256=verdict.policy.sha256
            )
            decision = parse_token_decision(verdict.result, verdict.policy)
            grant = _granted(decision)
        except BrokerError as error:
            await self._ledger.append(_denied(about, error))
            raise
        token_id = f"tok_{self._clock.random_bytes(16).hex()}"
        drafted = self._tokens.drafted(
            subject, context.peer, grant, token_id=token_id, now_seconds=now_ns // NS_PER_SECOND
        )
        issued = drafted.issued(await self._sign(drafted.claims))
        await self._ledger.append(
            about._replace(
                type=RecordType.TOKEN,
                user=self._shown("user", grant.user) or subject.id,
                token_id=token_id,
                operation=None,
                decision="allow",
                rule=decision.rule,
                alert=decision.alert,
                purpose=own["purpose"],
                scope=" ".join(grant.scope),
            )
        )
        return issued

    def _shown(self, name: str, text: str | None) -> str | None:
        return None if text is None else self._conceal(name, text)

    def _check_audience(self, wish: AccessTokenRequest) -> None:
        if wish.audience not in (None, self._audience):
            raise BrokerError(
                Kind.BAD_REQUEST,
                "This broker issues tokens for itself only.",
                param="audience",
                remedy=f"Leave the audience out, or ask for {self._audience}.",
            )

    def _input(
        self, subject: Subject, wish: AccessTokenRequest, transport: str, now_ns: int
    ) -> dict[str, object]:
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
                "purpose": wish.purpose,
            },
            "transport": transport,
            "time": time_input(now_ns, self._zone),
            "now_ns": now_ns,
        }


def _granted(decision: TokenDecision) -> Grant:
    """The grant. Raises POLICY_DENIED, or refuses a grant nobody may have."""
    if not decision.allow or decision.grant is None:
        raise policy_denied(f"Policy grants no token. {decision.reason}", decision.rule, decision.changes)
    if not 0 < decision.grant.ttl_seconds <= MAX_TOKEN_SECONDS:
        raise BrokerError(
            Kind.POLICY_ENGINE_UNAVAILABLE,
            f"The policy granted a token life outside 1 to {MAX_TOKEN_SECONDS} s.",
            remedy="Correct `grant.ttl_seconds` in broker.tokens.",
        )
    return decision.grant


def _exists(name: str) -> bool:
    """Whether an asked operation or model is a name that exists, so that a record may hold it."""
    return name in _OPERATIONS or name == "*" or find(name.removesuffix("*")) is not None


def _about(subject: Subject, context: RequestContext) -> Record:
    """What every record of a request for a token says."""
    return Record(
        type=RecordType.DENIED,
        call_id=context.call_id,
        user=subject.id,
        subject=subject.id,
        actor_chain=subject.actor_chain,
        tenant=subject.tenant,
        cert_sha256=context.peer.cert_sha256,
        transport=context.transport,
        operation="token.issue",
    )


def _denied(about: Record, error: BrokerError) -> Record:
    return about._replace(
        decision="deny" if error.kind is Kind.POLICY_DENIED else "refuse",
        reason=error.kind.value,
        rule=error.rule,
        error=error.param,
    )
