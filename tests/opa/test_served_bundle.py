"""A real OPA fetches its bundle from a broker that asks it: with the example configuration, verified."""

from __future__ import annotations

import asyncio
import hashlib
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from broker.adapters.policyfiles.bundle import build
from broker.console.app import ConsoleApp, Status
from broker.listeners.https.server import HttpServer
from broker.listeners.sockets import BoundSocket
from tests.opa.sidecar import POLICIES, ROOT, opa_binary
from tests.ports import free_port

pytestmark = pytest.mark.servers
_QUESTION = "/v1/data/broker/calls/decision?provenance=true"


async def no_metrics() -> bytes:
    return b""


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    key = tmp_path / "key.pem"
    for words in (
        ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key)],
        ["pkey", "-in", str(key), "-pubout", "-out", str(tmp_path / "pub.pem")],
    ):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    bundle = tmp_path / "bundle.tar.gz"
    bundle.write_bytes(build(POLICIES, key.read_bytes(), "served")[0])
    return bundle


async def test_the_shipped_opa_yaml_works_unmodified(signed: Path) -> None:
    sock = BoundSocket("127.0.0.1:0")
    console = HttpServer(ConsoleApp(Status((), lambda: "", no_metrics, signed.read_bytes)), sock, None)
    await console.start()
    url = f"http://{sock.address}"
    port = free_port()
    shipped = ROOT / "deploy/opa/opa.yaml"  # as it is; only the port of this test's console differs
    [said] = re.findall(r"^#   opa run (.*)$", shipped.read_text(), re.MULTILINE)
    words = (
        said.replace("8181", str(port)).replace("bundle.pub.pem", str(signed.with_name("pub.pem"))).split()
    )
    process = await asyncio.create_subprocess_exec(
        *(opa_binary(), "run", *words, "--set", f"services.broker.url={url}"),
        cwd=shipped.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert await _revision(port, "served ") is not None
    finally:
        process.kill()
        await process.wait()
        await console.stop()


async def test_an_unchanged_bundle_is_not_sent_again(signed: Path) -> None:
    sock = BoundSocket("127.0.0.1:0")
    console = HttpServer(ConsoleApp(Status((), lambda: "", no_metrics, signed.read_bytes)), sock, None)
    await console.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://{sock.address}") as client:
            first = await client.get("/bundles/broker.tar.gz")
            assert first.status_code == 200
            assert hashlib.sha256(first.content).hexdigest() in first.headers["etag"]
            known = {"if-none-match": first.headers["etag"]}
            assert (await client.get("/bundles/broker.tar.gz", headers=known)).status_code == 304
            await asyncio.to_thread(signed.write_bytes, b"another")
            assert (await client.get("/bundles/broker.tar.gz", headers=known)).content == b"another"
    finally:
        await console.stop()


async def _revision(port: int, label: str) -> str | None:
    deadline = time.monotonic() + 15
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        while time.monotonic() < deadline:
            try:
                reply = await client.post(
                    "/v1/data/broker/calls/decision?provenance=true", json={"input": {}}
                )
                revision = reply.json()["provenance"]["bundles"]["broker"]["revision"]
            except (httpx.HTTPError, KeyError):
                await asyncio.sleep(0.1)
                continue
            if str(revision).startswith(label):
                return str(revision)
    return None
