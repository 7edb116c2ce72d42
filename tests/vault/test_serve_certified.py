"""A real `broker serve` whose keys Vault certifies and whose certificate it issues, called with its SVIDs."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import httpx
import pytest
from typer.testing import CliRunner, Result

from broker.adapters.ledger.directory import LogDirectory
from broker.cli.audit import app
from broker.client import Credentials, grpc_channel
from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc
from broker.tlog.certification import KeyUse, parse_certification
from broker.tlog.certifier import parse_certifier
from tests.e2e.upstreams import simulator_process
from tests.running import Identity, RunningBroker
from tests.vault.authority import (
    SERVER_NAMES,
    authority,
    careless_authority,
    certifier,
    issue,
    rotate,
    set_up,
    shorten,
)
from tests.vault.server import RealVault
from tests.vault.serving import PAUSE_SECONDS, sdk, start_serving, vault_sections

pytestmark = pytest.mark.servers

KEY = "sk-certified-openai-000000001"


@dataclass(frozen=True)
class Site:
    """A running broker and the Vault it uses."""

    broker: RunningBroker
    server: RealVault
    directory: Path


def _sections(server: RealVault, directory: Path, role: str) -> Mapping[str, Mapping[str, object]]:
    sections = dict(vault_sections(server, server.approle(role)))
    issued = {"pki_role": "broker", "server_names": list(SERVER_NAMES), "certify": True, "certify_seconds": 1}
    tls = {
        "certificate": directory / "tls.pem",
        "key": directory / "tls.key",
        "client_ca": directory / "ca.pem",
    }
    return {
        **sections,
        "vault": {**sections["vault"], **issued},
        "tls": {name: str(path) for name, path in tls.items()},
    }


@contextmanager
def certified_broker(server: RealVault, directory: Path) -> Iterator[Site]:
    """Its certificate is renewed every few seconds: Vault backdates by 30 s, so it is due after 3 s."""
    directory.mkdir(exist_ok=True)
    set_up(server)
    shorten(server, "20s")
    authority(server, directory / "ca.pem")
    with (directory / "ca.pem").open("a") as trusted:  # a CA that does not keep to the trust domain
        trusted.write("\n" + careless_authority(server))
    server.put("openai", KEY)
    accepted = directory / "accepted.keys"
    accepted.write_text(KEY)
    with simulator_process(accepted) as url:
        sections = _sections(server, directory, f"certified-{os.urandom(4).hex()}")
        broker = replace(start_serving(directory, f"{url}/v1", sections), ca=directory / "ca.pem")
        broker.identities["assistant"] = workload(server, directory, "assistant")
        try:
            yield Site(broker, server, directory)
        finally:
            broker.stop()


@pytest.fixture(scope="module")
def site(real_vault: RealVault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For all but the last, which ends it."""
    with certified_broker(real_vault, tmp_path_factory.mktemp("certified") / "b") as site:
        yield site
    real_vault.call("DELETE", "secret/metadata/openai/openai")


def workload(server: RealVault, directory: Path, name: str) -> Identity:
    """An SVID as a service of the trust domain gets it from Vault."""
    return _written(
        directory,
        name,
        issue(server, "pki", "broker-service", uri_sans=f"spiffe://dev.broker/ns/demo/sa/{name}"),
    )


def _written(directory: Path, name: str, issued: Mapping[str, object]) -> Identity:
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    cert.write_text(str(issued["certificate"]))
    key.write_text(str(issued["private_key"]))
    return Identity(f"spiffe://dev.broker/ns/demo/sa/{name}", cert, key)


def _verify(site: Site, *more: str) -> Result:
    trusted = certifier(site.server, site.directory / "transit.json")
    return CliRunner().invoke(app, ["verify", str(site.broker.log), "--certified-by", str(trusted), *more])


def _chat(site: Site) -> str:
    with sdk(site.broker, "assistant") as client:
        messages = [{"role": "user", "content": "Say hello."}]
        reply = client.chat.completions.create(model="gpt-4o-mini", messages=messages)  # type: ignore[arg-type]
        return str(reply.choices[0].message.content)


def _models(site: Site, who: Identity) -> grpc.StatusCode:
    me = Credentials(who.cert, who.key, site.broker.ca)
    try:
        with grpc_channel(site.broker.grpc, site.broker.https, me) as channel:
            openai_pb2_grpc.OpenAIServiceStub(channel).ListModels(openai_pb2.ListModelsRequest(), timeout=10)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def test_a_service_with_a_certificate_from_vault_calls_over_both_listeners(site: Site) -> None:
    assert _chat(site).startswith("Echo:")
    assert _models(site, site.broker.identities["assistant"]) is grpc.StatusCode.OK
    outcome = LogDirectory(site.broker.log)
    assert any(
        b'"subject":"spiffe://dev.broker/ns/demo/sa/assistant"' in entry for _, entry in outcome.entries()
    )


ROGUES: dict[str, dict[str, object]] = {
    "a foreign trust domain": {"uri_sans": "spiffe://other.example/ns/demo/sa/assistant"},
    "a trust domain that begins alike": {"uri_sans": "spiffe://dev.broker.evil.example/ns/demo/sa/assistant"},
    "a common name only": {"common_name": "assistant", "exclude_cn_from_sans": True},
}


@pytest.mark.parametrize("rogue", ROGUES)
def test_a_certificate_outside_the_trust_domain_is_refused_by_the_role_and_by_the_broker(
    site: Site, rogue: str
) -> None:
    server, names = site.server, ROGUES[rogue]
    answer = server._http.post("pki/issue/broker-service", json=names)
    assert answer.status_code == 400, answer.text
    who = _written(site.directory, "rogue", issue(server, "careless", "any", ttl="24h", **names))
    context = ssl.create_default_context(cafile=str(site.broker.ca))
    context.load_cert_chain(who.cert, who.key)
    with httpx.Client(verify=context) as client:
        reply = client.post(f"{site.broker.https}/oauth/token", data={"grant_type": "client_credentials"})
    assert reply.status_code == 401, reply.text
    assert _raw_models(site, who) is grpc.StatusCode.UNAUTHENTICATED


def _raw_models(site: Site, who: Identity) -> grpc.StatusCode:
    """Without the client library, which would ask for a token first."""
    credentials = grpc.ssl_channel_credentials(
        site.broker.ca.read_bytes(), who.key.read_bytes(), who.cert.read_bytes()
    )
    with (
        grpc.secure_channel(site.broker.grpc, credentials) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        openai_pb2_grpc.OpenAIServiceStub(channel).ListModels(openai_pb2.ListModelsRequest(), timeout=10)
    code: grpc.StatusCode = caught.value.code()
    return code


def test_the_log_verifies_with_the_key_that_the_operator_fetched(site: Site) -> None:
    _chat(site)
    until = time.monotonic() + 10
    while True:
        report = json.loads(_verify(site, "--json").stdout)
        if report["certified_size"] == report["size"] and not report["uncovered"]:
            break
        assert time.monotonic() < until, report
        time.sleep(0.2)
    assert (report["verdict"], report["problems"]) == ("good", [])


def test_a_relying_party_finds_the_token_keys_certification_beside_it(site: Site) -> None:
    context = ssl.create_default_context(cafile=str(site.broker.ca))
    (jwk,) = httpx.get(f"{site.broker.https}/.well-known/jwks.json", verify=context).json()["keys"]
    certification = parse_certification(jwk["broker_certification"])
    statement = certification.statement
    assert (statement.use, statement.key_id) == (KeyUse.TOKEN, jwk["kid"])
    trusted = parse_certifier(certifier(site.server, site.directory / "transit.json").read_bytes())
    assert trusted.signed(statement.message(), certification.signature)


def test_a_certificate_that_is_renewed_every_few_seconds_fails_no_call(site: Site) -> None:
    serials, until = set(), time.monotonic() + 9
    while time.monotonic() < until:
        serials.add((site.directory / "tls.pem").read_bytes())
        assert _chat(site).startswith("Echo:")
        assert _models(site, site.broker.identities["assistant"]) is grpc.StatusCode.OK
        time.sleep(PAUSE_SECONDS)
    assert len(serials) >= 3
    assert "certificate_refused" not in site.broker.errors.read_text()


def test_a_closed_log_is_certified_to_its_end_and_a_rotated_transit_key_keeps_verifying(site: Site) -> None:
    _chat(site)
    site.broker.stop()
    rotate(site.server)
    (site.directory / "token.pem").unlink()  # a new token key: certified by the new version
    with certified_broker(site.server, site.directory) as again:
        _chat(again)
        again.broker.stop()
        done = _verify(again, "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["verdict"], report["certified_size"]) == (0, "good", report["size"])
    versions = {
        parse_certification(path.read_text()).key_version
        for path in (again.broker.log / "certified").glob("*.json")
    }
    assert len(versions) == 2


def test_a_broker_whose_new_keys_vault_does_not_certify_does_not_start(
    server: RealVault, tmp_path: Path
) -> None:
    directory = tmp_path / "b"
    directory.mkdir()
    set_up(server)
    authority(server, directory / "ca.pem")
    server.put("openai", KEY)
    policy = (Path(__file__).parents[2] / "deploy/vault/broker.hcl").read_text()
    server.call(
        "PUT",
        "sys/policies/acl/broker",
        {"policy": policy.replace("transit/sign/broker", "transit/sign/other")},
    )
    with pytest.raises(RuntimeError) as caught:
        start_serving(directory, "http://127.0.0.1:9/v1", _sections(server, directory, "uncertified"))
    said = str(caught.value)
    assert "broker serve ended with 3" in said
    assert "key" in said
    assert (
        "is not certified, so it is not used: Vault does not let the broker use transit/sign/broker." in said
    )
    assert "deploy/vault/broker.hcl" in said
    assert not (directory / "log").exists()
