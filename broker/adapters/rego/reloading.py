"""The embedded engine on policies that are watched: a changed policy rules within a second, a bad one never.

Knows: how one engine takes the place of another. Must not know: when to look, what a decision means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from broker.adapters.policyfiles.source import read_policies
from broker.adapters.rego.authorizer import EmbeddedAuthorizer
from broker.adapters.rego.origin import Contents, PolicyOrigin
from broker.adapters.rego.policy_watch import PolicyWatch
from broker.adapters.rego.proof import SlicingProof, already
from broker.adapters.rego.unserved import ConfiguredKeys, unserved
from broker.model.decision import PolicyVersion
from broker.ports import Activating, Clock, DecisionPoint, Evaluation


class ReloadingAuthorizer:
    """An Authorizer and Explainer whose policies follow a folder or a signed bundle.

    A change is tried in a process of its own, announced to `activating` (who records it, and may refuse it
    by raising BrokerError) and takes effect between two evaluations: a call that is being decided ends on the
    old policies, none waits. What cannot be used is refused loudly, and the last good policies stay.
    """

    def __init__(
        self,
        origin: PolicyOrigin,
        clock: Clock,
        keys: Callable[[], ConfiguredKeys] | None = None,
        proof: SlicingProof | None = None,
    ) -> None:
        """Loads the policies, in the form that `proof` gives those it was made for, whole without one. `keys`
        are those that may be leased: what policies name beside them is told in the log. Raises
        POLICY_ENGINE_UNAVAILABLE where they cannot be used.
        """
        self._keys = keys
        self._log = structlog.get_logger()
        seen = origin.signature()
        with origin.contents() as contents:
            self._engine = self._loaded(contents, proof)
            self._bundle = contents.bundle
        is_proven = self._engine.proof.is_known
        self._watch = PolicyWatch(origin, clock, seen if is_proven else ())  # the first look proves them
        self._activating: Activating | None = None

    @property
    def version(self) -> PolicyVersion:
        """See ports.Authorizer."""
        return self._engine.version

    async def evaluate(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        """See ports.Authorizer."""
        return await self._engine.evaluate(point, document)

    async def explain(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        """See ports.Explainer."""
        return await self._engine.explain(point, document)

    def bundle(self) -> bytes | None:
        """The signed bundle that rules, or None where the policies are those of a folder."""
        return self._bundle

    def problem(self) -> str:
        """Why the newest policies do not rule, or an empty string."""
        return self._watch.problem()

    def unsliced(self) -> str:
        """Why the policies that rule are not evaluated in the quickest form, or an empty string."""
        return self._engine.proof.why

    def unready(self) -> str:
        """Always an empty string: there is always a version that rules."""
        return ""

    async def start(self, activating: Activating) -> None:
        """Announces the version that rules, and follows its origin from now on."""
        self._activating = activating
        await activating(self.version)
        self._watch.start(self._adopt)

    async def aclose(self) -> None:
        """Stops following."""
        await self._watch.aclose()

    async def look(self) -> None:
        """Looks once, now; returns when a change, if there is one, rules or is refused."""
        await self._watch.poll(self._adopt)

    async def _adopt(self, contents: Contents, proof: SlicingProof) -> None:
        """The policies rule once this returns. Raises BrokerError where they may not."""
        engine = await asyncio.to_thread(self._loaded, contents, proof)
        if engine.version != self._engine.version:
            if self._activating is not None:
                await self._activating(engine.version)
            self._engine = engine
            self._log.info("policy_activated", revision=engine.version.revision)
        elif engine.proof != self._engine.proof:
            self._engine = engine
        self._bundle = contents.bundle

    def _loaded(self, contents: Contents, proof: SlicingProof | None) -> EmbeddedAuthorizer:
        source = read_policies(contents.directory)
        engine = EmbeddedAuthorizer(source, already(proof))
        told = engine.proof
        if told.why:
            self._log.warning(
                "policy_unsliced",
                revision=source.version.revision,
                form=told.form.value,
                why=told.why,
                remedy=told.remedy,
            )
        found = unserved(source, self._keys()) if self._keys is not None else []
        if found:
            first, more = found[0], len(found) - 1
            self._log.warning("policy_names_unserved_keys", what=str(first), more=more, remedy=first.remedy)
        return engine
