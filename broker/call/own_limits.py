"""What a caller's calls are charged against, and what is left of it.

Knows: how policy is asked, and how a call is charged. Must not know: wire formats, where limits are counted.
"""

from __future__ import annotations

from broker.budget.limits import earlier_slices
from broker.budget.window import left_of
from broker.call.authorization import CallAuthorizer
from broker.call.limits import CallLimits
from broker.catalog.reserve import Reserve
from broker.errors import BrokerError, Kind
from broker.identity.authentication import Authentication
from broker.identity.scope import covers
from broker.model.call import Call
from broker.model.charge import Charge, Window
from broker.model.limit import OwnLimit
from broker.model.operation import Operation
from broker.model.request_context import RequestContext
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock, LimitReader
from broker.shaping.binding import bind

_NOTHING = Reserve(tokens=0, micro_usd=0)


class OwnLimits:
    """One for all callers."""

    def __init__(
        self,
        reader: LimitReader,
        authentication: Authentication,
        authorizer: CallAuthorizer,
        limits: CallLimits,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._authentication = authentication
        self._authorizer = authorizer
        self._limits = limits
        self._clock = clock

    async def own(
        self, context: RequestContext, bearer: str | None, operation: str | None, model: str | None
    ) -> tuple[OwnLimit, ...]:
        """What a call of this kind, a chat where none is named, would be charged against now, as policy says
        of this caller. Nothing is taken, nothing recorded. Raises as a call does that policy does not allow.
        """
        now_ns = self._clock.now_ns()
        caller = self._authentication.authenticate(context.peer, bearer, now_ns // NS_PER_SECOND)
        call = Call(_operation(operation), "GET", "", b"", {}, model)
        bind(call, caller, covers)
        decision = await self._authorizer.about(caller, call, context.transport)
        charges = self._limits.charges(decision, _NOTHING, now_ns, stream=True)
        told = [charge for charge in charges if not charge.observed]
        windows = [_windows(charge) for charge in told]
        taken = iter(await self._reader.taken_of([window for each in windows for window in each]))
        return tuple(
            [
                OwnLimit(
                    charge.label or charge.taken.limit,
                    left_of(charge, sum(next(taken) for _ in each), now_ns),
                )
                for charge, each in zip(told, windows, strict=True)
            ]
        )


def _operation(name: str | None) -> Operation:
    try:
        return Operation(name or Operation.CHAT)
    except ValueError:
        raise BrokerError(
            Kind.BAD_REQUEST,
            "There is no such operation.",
            param="operation",
            remedy=f"There are: {', '.join(Operation)}.",
        ) from None


def _windows(charge: Charge) -> list[Window]:
    return [*earlier_slices(charge), charge.taken[:4]]
