"""The Authorizer port on OPA.

Knows: query paths, deadlines, provenance, and that OPA can be away. Must not know: what a decision means.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import aiohttp
import orjson
import structlog

from broker import strictjson
from broker.adapters.opa.client import OpaClient, OpaFaultError, Sidecar
from broker.errors import BrokerError, Kind
from broker.model.decision import PolicyVersion
from broker.model.units import MS_PER_SECOND
from broker.ports import Activating, Clock, DecisionPoint, Evaluation

PROBE_SECONDS = 0.25
_RETRY_AFTER = 1.0
_REVISION = re.compile(r"(.{1,200}) sha256:([0-9a-f]{64})\Z")
_UNVERSIONED = PolicyVersion("unversioned", "")
_UNKNOWN = PolicyVersion("unknown", "")
_NOBODY: dict[str, object] = {"id": "spiffe://self.check/nobody", "tenant": "nobody", "actor_chain": []}
_STRANGER = {"v": 1, "subject": _NOBODY}
_FAILURES = 5


class Breaker:
    """A circuit breaker. Closed, calls go through; open, they are refused at once and only the
    probe asks (half-open).

    >>> breaker = Breaker(failures=2)
    >>> breaker.failed(); breaker.open
    False
    >>> breaker.failed(); breaker.open
    True
    >>> breaker.succeeded(); breaker.open
    False
    """

    def __init__(self, failures: int = _FAILURES) -> None:
        self._left = self._failures = failures

    @property
    def open(self) -> bool:
        """Whether to refuse without asking."""
        return self._left <= 0

    def failed(self) -> None:
        """One more failure in a row."""
        self._left -= 1

    def succeeded(self) -> None:
        """An answer came: the row is broken, and the breaker closed."""
        self._left = self._failures


class OpaAuthorizer:
    """Asks the sidecar, each time within `deadline_seconds`, connecting and reading included.

    Every answer must come from the bundle named `bundle`, whose revision is `<label> sha256:<hex>`; with
    None, any policies will do and records say `unversioned`. After some failures in a row calls are refused
    at once, until a probe, four times a second, finds that OPA answers and denies a stranger at every point.
    """

    def __init__(
        self, sidecar: Sidecar, clock: Clock, *, deadline_seconds: float = 0.05, bundle: str | None = "broker"
    ) -> None:
        """Raises ValueError for a URL that is none, and OSError where a PEM file cannot be used. Blocking."""
        self._client = OpaClient(sidecar, deadline_seconds)
        self._clock = clock
        self._deadline = deadline_seconds
        self._bundle = bundle
        self._breaker = Breaker()
        self._version = _UNKNOWN
        self._why = self._fault = "it has not been asked yet"
        self._activating: Activating | None = None
        self._adopting = asyncio.Lock()
        self._probing: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    @property
    def version(self) -> PolicyVersion:
        """The policies of the newest answer, at most a probe old while OPA is there."""
        return self._version

    async def start(self, activating: Activating) -> None:
        """Probes once and goes on probing. Returns also where OPA is away: `unready` says so."""
        self._activating = activating
        await self._client.open()
        await self._probe()
        self._probing = asyncio.create_task(self._keep_probing())

    async def aclose(self) -> None:
        """Ends the probing and the connections."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._client.close_connection()

    def unready(self) -> str:
        """What keeps OPA from deciding, or an empty string."""
        return f"policy engine (OPA: {self._why})" if self._why else ""

    async def evaluate(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        """See ports.Authorizer. An undefined decision is a Verdict whose result is None."""
        if self._breaker.open:
            raise _away()
        return await self._ask(f"broker/{point.value}/decision", document)

    async def explain(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        """See ports.Explainer."""
        return await self._ask(f"broker/{point.value}/explanation", document)

    async def _ask(self, path: str, document: Mapping[str, object]) -> Evaluation:
        try:
            question = orjson.dumps({"input": document})
        except orjson.JSONEncodeError:  # no fault of OPA's: others' calls go on
            raise _unaskable() from None
        try:
            async with asyncio.timeout(self._deadline):
                answer = await self._client.ask(path, question)
            verdict = self._read(answer)
        except TimeoutError:
            raise self._failed(f"no answer within {self._deadline * MS_PER_SECOND:g} ms") from None
        except aiohttp.ClientError as error:
            raise self._failed(f"no connection ({type(error).__name__})") from None
        except OpaFaultError as error:
            raise self._failed(str(error)) from None
        self._breaker.succeeded()
        if verdict.policy != self._version:
            await self._adopt(verdict.policy)
        return verdict

    async def _adopt(self, version: PolicyVersion) -> None:
        """OPA has loaded other policies: known to `activating` before any answer of theirs is used."""
        async with self._adopting:
            if version == self._version:  # another answer brought it meanwhile
                return
            if self._activating is not None:
                await self._activating(version)
            self._version = version
            self._log.info("policy_activated", revision=version.revision)

    def _failed(self, why: str) -> BrokerError:
        self._breaker.failed()
        self._fault = why
        return _away()

    def _read(self, answer: bytes) -> Evaluation:
        """The result as it is; without one, None. Raises OpaFaultError."""
        try:
            said = strictjson.parse(answer)
        except strictjson.StrictJsonError:
            said = None
        if not isinstance(said, dict):
            raise OpaFaultError("its answer is not a JSON object")
        return Evaluation(said.get("result"), self._policy(said.get("provenance")))

    def _policy(self, provenance: object) -> PolicyVersion:
        if self._bundle is None:
            return _UNVERSIONED
        node: object = provenance
        for name in ("bundles", self._bundle, "revision"):
            node = node.get(name) if isinstance(node, dict) else None
        revision = _REVISION.match(node) if isinstance(node, str) else None
        if revision is None:
            raise OpaFaultError(f"its answer does not come from a bundle {self._bundle} with a revision")
        return PolicyVersion(revision[1], revision[2])

    async def _keep_probing(self) -> None:
        while True:
            await self._clock.sleep(PROBE_SECONDS)
            await self._probe()

    async def _probe(self) -> None:
        """Half-open: asks although the breaker may be open, and says so when something has changed."""
        before, self._why = self._why, await self._complaint()
        if self._why and self._why != before:
            self._log.error("policy_engine_unreachable", why=self._why, remedy=_REMEDY)
        elif before and not self._why:
            self._log.info("policy_engine_reachable", revision=self._version.revision)

    async def _complaint(self) -> str:
        """Why OPA cannot decide, or an empty string."""
        try:
            for point in DecisionPoint:
                verdict = await self._ask(f"broker/{point.value}/decision", _STRANGER)
                if not isinstance(verdict.result, dict) or verdict.result.get("allow") is not False:
                    raise self._failed(f"broker.{point.value} does not deny an unknown subject")
        except BrokerError:
            return self._fault
        return ""


_REMEDY = "Look at OPA: that it runs, has loaded the bundle of `broker policy build`, and is not overloaded."


def _away() -> BrokerError:
    return BrokerError(
        Kind.POLICY_ENGINE_UNAVAILABLE,
        "The policy engine (OPA) could not decide.",
        remedy="Try again; the operator's log says what is wrong.",
        retry_after=_RETRY_AFTER,
    )


def _unaskable() -> BrokerError:
    return BrokerError(
        Kind.POLICY_ENGINE_UNAVAILABLE,
        "The policy engine (OPA) cannot be asked about this call: the input is not JSON.",
        remedy="Send numbers that JSON readers agree on: whole ones of at most 64 bits.",
    )
