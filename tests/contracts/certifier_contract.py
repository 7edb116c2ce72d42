"""What every Certifier must do: sign with a key that is not here, and refuse in time where it cannot."""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from broker.errors import BrokerError, Kind
from broker.ports import Certifier
from tests.contracts.port_contract import PortContract

WITHIN_SECONDS = 2.1


class CertifierSetup(Protocol):
    """A certifier under test."""

    @property
    def certifier(self) -> Certifier: ...

    def rotate(self) -> None:
        """The key gets another version."""

    def lock(self) -> None:
        """Nothing can be signed any more, and who holds the key says so."""

    def freeze(self) -> None:
        """Who holds the key does not answer any more."""


class CertifierContract(PortContract):
    """Needs a fixture `rig`: CertifierSetup."""

    port = Certifier

    async def test_it_is_the_adapter_that_is_named(self, rig: CertifierSetup) -> None:
        self.under_test(rig.certifier)

    @pytest.mark.parametrize("message", [b"", b"message", bytes(range(256)) * 40])
    async def test_what_it_returns_verifies_and_nothing_else_does(
        self, rig: CertifierSetup, message: bytes
    ) -> None:
        signed = await rig.certifier.sign(message)
        public = Ed25519PublicKey.from_public_bytes(signed.public_key)
        public.verify(signed.signature, message)
        with pytest.raises(InvalidSignature):
            public.verify(signed.signature, message + b"x")
        assert signed.key_version >= 1

    async def test_many_at_once_do_not_mix(self, rig: CertifierSetup) -> None:
        messages = [b"%d" % number for number in range(20)]
        for message, signed in zip(
            messages, await asyncio.gather(*map(rig.certifier.sign, messages)), strict=True
        ):
            Ed25519PublicKey.from_public_bytes(signed.public_key).verify(signed.signature, message)

    async def test_a_rotated_key_signs_under_its_own_version(self, rig: CertifierSetup) -> None:
        before = await rig.certifier.sign(b"x")
        rig.rotate()
        after = await rig.certifier.sign(b"x")
        assert after.key_version == before.key_version + 1
        assert after.public_key != before.public_key
        Ed25519PublicKey.from_public_bytes(after.public_key).verify(after.signature, b"x")

    @pytest.mark.parametrize("trouble", ["lock", "freeze"])
    async def test_where_nothing_can_be_signed_it_is_refused_in_time_with_a_remedy(
        self, rig: CertifierSetup, trouble: str
    ) -> None:
        await rig.certifier.sign(b"x")
        getattr(rig, trouble)()
        began = asyncio.get_running_loop().time()
        with pytest.raises(BrokerError) as caught:
            await rig.certifier.sign(b"x")
        assert asyncio.get_running_loop().time() - began < WITHIN_SECONDS
        assert caught.value.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
        assert caught.value.remedy
