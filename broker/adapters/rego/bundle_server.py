"""The signed bundle that others may fetch: verified, tried and tested here before anybody is given it.

Knows: which bundle is the last good one. Must not know: who fetches it.
"""

from __future__ import annotations

from broker.adapters.rego.origin import Contents, SignedBundle
from broker.adapters.rego.policy_watch import PolicyWatch
from broker.adapters.rego.proof import SlicingProof
from broker.ports import Clock


class ServedBundle:
    """Follows a bundle file. A bad bundle is refused, loudly, and the last good one goes on being served, so
    that an OPA that fetches it cannot load what the embedded engine would refuse.
    """

    def __init__(self, origin: SignedBundle, clock: Clock) -> None:
        self._watch = PolicyWatch(origin, clock, ())
        self._bundle: bytes | None = None

    async def start(self) -> None:
        """Returns once the bundle that is there is served, or refused."""
        await self.look()
        self._watch.start(self._adopt)

    async def look(self) -> None:
        """Looks once, now; returns when a change, if there is one, is served or refused."""
        await self._watch.poll(self._adopt)

    async def aclose(self) -> None:
        """Stops following."""
        await self._watch.aclose()

    def bundle(self) -> bytes | None:
        """The last good bundle; None where there was none yet."""
        return self._bundle

    def problem(self) -> str:
        """Why the newest bundle is not served, or an empty string."""
        return self._watch.problem()

    async def _adopt(self, contents: Contents, _proof: SlicingProof) -> None:
        self._bundle = contents.bundle
