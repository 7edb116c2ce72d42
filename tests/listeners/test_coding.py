"""Compressed bodies: decoded within the limit, or refused, at once and without the memory a bomb asks for."""

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BrokerError, Kind
from broker.listeners.https.coding import decoded
from broker.listeners.https.request import MAX_BODY_BYTES, read_body
from tests.listeners.test_body import bringing, piece

BODY = b'{"model": "gpt-4o", "messages": []}' * 100
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}


async def reason(codings: str, body: bytes, most: int = MAX_BODY_BYTES) -> Kind:
    with pytest.raises(BrokerError) as caught:
        await decoded(codings, body, most)
    return caught.value.kind


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_compressed_body_is_read_as_what_it_holds(coding: str) -> None:
    packed = CODINGS[coding](BODY)
    for name in (coding, coding.upper(), f" {coding} , identity"):
        receive = bringing(piece(packed[:9], more=True), piece(packed[9:], more=False))
        headers = {"content-encoding": name, "content-length": str(len(packed))}
        assert await read_body(headers, receive) == BODY


async def test_a_body_in_several_members_or_frames_is_read_whole() -> None:
    assert await decoded("gzip", gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b"), 9) == b"ab"
    assert await decoded("zstd", zstd.compress(b"a") + zstd.compress(b"b"), 9) == b"ab"


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, zstd", "aes128gcm", "gzip;q=1", "ｇzip"])
async def test_another_coding_is_unsupported_and_not_guessed(coding: str) -> None:
    assert await reason(coding, gzip.compress(BODY)) is Kind.UNSUPPORTED_ENCODING


@pytest.mark.parametrize("coding", ["", "identity", "Identity", " , identity"])
async def test_no_coding_at_all_changes_nothing(coding: str) -> None:
    assert await decoded(coding, BODY, 9) == BODY


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_body_that_is_cut_or_followed_by_something_is_refused(coding: str) -> None:
    packed = CODINGS[coding](BODY)
    for spoilt in (packed[:-1], packed[: len(packed) // 2], packed + b"x", b"", b"x" + packed, BODY):
        assert await reason(coding, spoilt) is Kind.BAD_REQUEST


@pytest.mark.parametrize("coding", CODINGS)
async def test_the_limit_is_that_of_the_decoded_body(coding: str) -> None:
    packed = CODINGS[coding](b"x" * 5000)
    assert len(await decoded(coding, packed, 5000)) == 5000
    assert await reason(coding, packed, 4999) is Kind.TOO_LARGE


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_decompression_bomb_costs_little_and_holds_nobody_up(coding: str) -> None:
    bomb = CODINGS[coding](bytes(256 << 20))
    longest, ticking = 0.0, True

    async def tick() -> None:
        nonlocal longest
        while ticking:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - before)

    watch = asyncio.create_task(tick())
    tracemalloc.start()
    assert await reason(coding, bomb) is Kind.TOO_LARGE
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    ticking = False
    await watch
    assert peak < 4 * MAX_BODY_BYTES
    assert longest < 0.5, "the event loop was held up"


async def test_many_empty_members_are_refused() -> None:
    assert await reason("gzip", gzip.compress(b"") * 100_000) is Kind.BAD_REQUEST


async def test_a_window_beyond_8_mib_is_refused() -> None:
    """RFC 9659: a caller chooses how much memory a zstd decoder needs."""
    wide = {int(zstd.CompressionParameter.window_log): 27}
    assert await reason("zstd", zstd.ZstdCompressor(options=wide).compress(b"x" * 99)) is Kind.BAD_REQUEST


@given(st.sampled_from(sorted(CODINGS)), st.binary(max_size=300), st.integers(0, 300), st.binary(max_size=4))
def test_whatever_comes_is_decoded_or_refused(coding: str, plain: bytes, at: int, junk: bytes) -> None:
    packed = CODINGS[coding](plain)
    spoilt = packed[:at] + junk + packed[at:]
    with suppress(BrokerError):  # and nothing else
        assert len(asyncio.run(decoded(coding, spoilt, 1000))) <= 1000
