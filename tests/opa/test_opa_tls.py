"""OPA over https: its certificate is verified with the CA we were given, and it asks for ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.opa import OpaAuthorizer, Sidecar
from broker.adapters.pki import DevPki
from broker.errors import BrokerError
from broker.ports import DecisionPoint
from tests.opa.sidecar import running_opa, unheard
from tests.policy.documents import call

pytestmark = pytest.mark.servers


@dataclass(frozen=True)
class Secured:
    """An OPA that speaks TLS only, to holders of a certificate of its CA."""

    url: str
    pki: DevPki
    other: DevPki

    def sidecar(self, ca: Path | None, pki: DevPki | None) -> Sidecar:
        """As somebody who trusts `ca` and presents a certificate of `pki`."""
        mine = pki.workload("broker") if pki else None
        return Sidecar(self.url, ca, mine.cert if mine else None, mine.key if mine else None)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    home = tmp_path_factory.mktemp("secured")
    pki, other = (DevPki.load_or_create(home / name, "dev.broker") for name in ("pki", "other"))
    server = pki.server()
    options: tuple[str, ...] = (
        "--tls-cert-file",
        str(server.cert),
        "--tls-private-key-file",
        str(server.key),
    )
    options += ("--tls-ca-cert-file", str(pki.ca), "--authentication", "tls")
    with running_opa(home, *options, scheme="https") as opa:
        yield Secured(opa.url, pki, other)


async def complaint(sidecar: Sidecar) -> str:
    """Why OPA cannot be asked as this somebody, after it had time to load its bundle; an empty string where
    it decides.
    """
    made = OpaAuthorizer(sidecar, SystemClock(), deadline_seconds=1)
    await made.start(unheard)
    try:
        for _ in range(100):
            if "bundle" not in made.unready():
                break
            await asyncio.sleep(0.05)
        if made.unready():
            with pytest.raises(BrokerError):
                await made.evaluate(DecisionPoint.CALLS, call("explorer", "gpt-4o"))
        else:
            verdict = await made.evaluate(DecisionPoint.CALLS, call("explorer", "gpt-4o"))
            assert isinstance(verdict.result, dict)
            assert verdict.result["allow"] is True
        return made.unready()
    finally:
        await made.aclose()


async def test_our_certificate_and_its_ca_reach_opa(secured: Secured) -> None:
    assert await complaint(secured.sidecar(secured.pki.ca, secured.pki)) == ""


async def test_an_opa_of_another_ca_is_not_asked(secured: Secured) -> None:
    assert "CertificateError" in await complaint(secured.sidecar(secured.other.ca, secured.pki))


async def test_the_systems_cas_do_not_vouch_for_it(secured: Secured) -> None:
    assert "CertificateError" in await complaint(secured.sidecar(None, secured.pki))


@pytest.mark.parametrize("whose", ["nobody", "other"])
async def test_opa_refuses_who_has_no_certificate_of_its_ca(secured: Secured, whose: str) -> None:
    assert "no connection" in await complaint(
        secured.sidecar(secured.pki.ca, secured.other if whose == "other" else None)
    )


async def test_plain_http_does_not_reach_it(secured: Secured) -> None:
    assert await complaint(Sidecar(secured.url.replace("https", "http")))
