"""The embedded engine on policies that are watched: a changed policy rules within a second, a bad one never.

Knows: when to try what changed, and that the last good policies stay. Must not know: what a decision means.
"""

from __future__ import annotations

import asyncio

import structlog

from broker.adapters.rego.authorizer import EmbeddedAuthorizer
from broker.adapters.rego.origin import Origin
from broker.adapters.rego.preflight import try_policies
from broker.errors import BrokerError
from broker.model.decision import PolicyVersion
from broker.ports import Activating, Clock, DecisionPoint, Verdict

POLL_SECONDS = 0.25


class ReloadingAuthorizer:
    """An Authorizer and Explainer whose policies follow a folder or a signed bundle.

    A change is tried in a process of its own, announced to `activating` (who records it, and may refuse it
    by raising BrokerError) and takes effect between two evaluations: a call that is being decided ends on the
    old policies, none waits. What cannot be used is refused loudly, once, and `problem` says so until it is
    mended.
    """

    def __init__(self, origin: Origin, clock: Clock) -> None:
        """Loads the policies. Raises POLICY_ENGINE_UNAVAILABLE where they cannot be used."""
        self._origin = origin
        self._clock = clock
        self._seen = origin.signature()
        with origin.policies() as directory:
            self._engine = EmbeddedAuthorizer(directory)
        self._problem = ""
        self._watching: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    @property
    def version(self) -> PolicyVersion:
        """See ports.Authorizer."""
        return self._engine.version

    async def evaluate(self, point: DecisionPoint, document: dict[str, object]) -> Verdict:
        """See ports.Authorizer."""
        return await self._engine.evaluate(point, document)

    async def explain(self, point: DecisionPoint, document: dict[str, object]) -> Verdict:
        """See ports.Explainer."""
        return await self._engine.explain(point, document)

    def problem(self) -> str:
        """Why the newest policies do not rule, or an empty string."""
        return self._problem

    def unready(self) -> str:
        """Always an empty string: there is always a version that rules."""
        return ""

    async def start(self, activating: Activating) -> None:
        """Announces the version that rules, and follows its origin from now on."""
        await activating(self.version)
        self._watching = asyncio.create_task(self._watch(activating))

    async def aclose(self) -> None:
        """Stops following."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self, activating: Activating) -> None:
        while True:
            await self._clock.sleep(POLL_SECONDS)
            await self.poll(activating)

    async def poll(self, activating: Activating) -> None:
        """Looks once; returns when a change, if there is one, rules or is refused."""
        signature = await asyncio.to_thread(self._origin.signature)
        if signature == self._seen:
            return
        self._seen = signature  # also where it is refused: the same content is not tried again
        try:
            await self._replace(activating)
        except BrokerError as error:
            self._problem = error.message
            self._log.error(
                "policy refused",
                why=error.message,
                remedy=error.remedy,
                still_ruling=self._engine.version.revision,
            )

    async def _replace(self, activating: Activating) -> None:
        with self._origin.policies() as directory:
            await try_policies(directory)
            engine = await asyncio.to_thread(EmbeddedAuthorizer, directory)
        if engine.version != self._engine.version:
            await activating(engine.version)
            self._engine = engine
            self._log.info("policy activated", revision=engine.version.revision)
        self._problem = ""
