"""What the broker needs in Vault, step by step: what must stand where, why, and what to write if it does not.

Knows: Vault's mounts, policies and roles, as it shows them. Must not know: requests. Pure: another subject
adds its own steps to `plan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address

from broker.adapters.vault.provision.grants import VaultNames, VaultPolicy, broker_policy, keys_policy
from broker.model.units import SECONDS_PER_DAY

_HOUR = 3600
_CA_LIFE = 10 * 365 * SECONDS_PER_DAY


class StepState(StrEnum):
    """How a step stands."""

    DONE = "done"
    MISSING = "missing"
    DIFFERENT = "different"
    CLASH = "clash"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that must stand at `read` (or `inside` it) as `wanted` says; `body` at `write` makes it so.
    What is `fixed` cannot be changed once it is there.
    """

    what: str
    why: str
    read: str
    wanted: Mapping[str, object]
    write: str
    body: Mapping[str, object]
    inside: str | None = None
    method: str = "get"
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class StepFinding:
    """A step and what was found of it."""

    step: Step
    state: StepState
    differences: tuple[str, ...] = field(default=())


def plan(names: VaultNames, trust_domain: str, server_names: Sequence[str] = ()) -> tuple[Step, ...]:
    """All steps, in the order in which they can be taken. `server_names` are the DNS names and IP addresses
    of the broker; without any there is no role for the listeners' certificate.
    """
    return (
        *_keys(names),
        *_login(names),
        *_transit(names),
        *_pki(names, trust_domain),
        *([_listeners(names, trust_domain, server_names)] if server_names else []),
    )


def judge(step: Step, found: Mapping[str, object] | None) -> StepFinding:
    """What Vault showed at `step.read`, or None where nothing is there."""
    there: object = found
    if found is not None and step.inside is not None:
        there = found.get(step.inside)
    if not isinstance(there, Mapping):
        return StepFinding(step, StepState.MISSING)
    differences = tuple(_differences(step.wanted, there, ""))
    if not differences:
        return StepFinding(step, StepState.DONE)
    return StepFinding(step, StepState.CLASH if step.fixed else StepState.DIFFERENT, differences)


def _differences(wanted: Mapping[str, object], there: Mapping[str, object], above: str) -> Iterator[str]:
    for name, value in wanted.items():
        seen = there.get(name)
        if isinstance(value, Mapping) and isinstance(seen, Mapping):
            yield from _differences(value, seen, f"{above}{name}.")
        elif seen != value:
            yield f"{above}{name}"


def _keys(names: VaultNames) -> tuple[Step, ...]:
    kv = {"type": "kv", "options": {"version": "2"}}
    return (
        _mount(names.mount, kv, "The OpenAI keys, every version of them: a rotation is a new version."),
        _policy(broker_policy(names), "All that a broker may do."),
        _policy(keys_policy(names), "What an operator needs for `broker keys`; it cannot read a key."),
    )


def _login(names: VaultNames) -> tuple[Step, ...]:
    role = f"auth/{names.approle}/role/{names.role}"
    settings = {
        "token_policies": [names.role],
        "token_no_default_policy": True,
        "token_ttl": _HOUR,
        "token_max_ttl": SECONDS_PER_DAY,
        "secret_id_ttl": 0,
        "secret_id_num_uses": 0,
        "bind_secret_id": True,
    }
    return (
        Step(
            what=f"AppRole at auth/{names.approle}",
            why="How a broker logs in that has neither a certificate nor a platform identity of its own.",
            read="sys/auth",
            inside=f"{names.approle}/",
            wanted={"type": "approle"},
            write=f"sys/auth/{names.approle}",
            body={"type": "approle"},
            fixed=True,
        ),
        Step(
            what=f"AppRole role {names.role}",
            why="The policy above and no other, not even Vault's `default`; tokens of an hour, renewed for a "
            "day at most. The secret id lives as long as the broker that unwrapped it needs it.",
            read=role,
            wanted=settings,
            write=role,
            body=settings,
        ),
    )


def _transit(names: VaultNames) -> tuple[Step, ...]:
    key = {"type": "ed25519", "exportable": False, "allow_plaintext_backup": False}
    return (
        _mount(names.transit, {"type": "transit"}, "Keys that sign and never leave Vault."),
        Step(
            what=f"Transit key {names.certifier or names.role}",
            why="It certifies the broker's audit and token keys: who verifies a log trusts this key. It can "
            "be neither exported nor backed up in the clear.",
            read=names.certifying("keys"),
            wanted=key,
            write=names.certifying("keys"),
            body=key,
            fixed=True,
        ),
    )


def _pki(names: VaultNames, trust_domain: str) -> tuple[Step, ...]:
    role = f"{names.pki}/roles/{names.role}-service"
    settings = _service_role(trust_domain)
    return (
        _mount(
            names.pki,
            {"type": "pki"},
            "The CA that certifies services to the broker.",
            {"config": {"max_lease_ttl": _CA_LIFE}},
        ),
        Step(
            what=f"CA of {names.pki}",
            why="A CA whose key is made in Vault and stays there; left alone where there is one already.",
            read=f"{names.pki}/issuers",
            method="list",
            wanted={},
            write=f"{names.pki}/root/generate/internal",
            body={
                "common_name": f"{trust_domain} services CA",
                "key_type": "ec",
                "key_bits": 256,
                "ttl": _CA_LIFE,
                "max_path_length": 0,
                "permitted_uri_domains": [trust_domain],
            },
        ),
        Step(
            what=f"PKI role {names.role}-service",
            why=f"Certificates of services: a SPIFFE ID of {trust_domain}, no other name, a day at most.",
            read=role,
            wanted=settings,
            write=role,
            body=settings,
        ),
    )


def _listeners(names: VaultNames, trust_domain: str, server_names: Sequence[str]) -> Step:
    domains = sorted({name for name in server_names if not _is_address(name)})
    role = f"{names.pki}/roles/{names.server_role}"
    settings = {
        **_leaf_role(),
        "allowed_uri_sans": [f"spiffe://{trust_domain}/broker"],
        "allowed_domains": domains,
        "allow_bare_domains": True,
        "allow_wildcard_certificates": False,
        "allow_ip_sans": any(_is_address(name) for name in server_names),
        "client_flag": False,
        "ttl": SECONDS_PER_DAY,
        "max_ttl": SECONDS_PER_DAY,
    }
    return Step(
        what=f"PKI role {names.server_role}",
        why="The listeners' certificate: the broker's own SPIFFE ID and the names that clients reach it by.",
        read=role,
        wanted=settings,
        write=role,
        body=settings,
    )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _service_role(trust_domain: str) -> Mapping[str, object]:
    """The identity is the URI SAN, and there is no other name."""
    return {
        **_leaf_role(),
        "allowed_uri_sans": [f"spiffe://{trust_domain}/*"],
        "allowed_domains": [],
        "allow_ip_sans": False,
        "ttl": _HOUR,
        "max_ttl": SECONDS_PER_DAY,
    }


def _leaf_role() -> Mapping[str, object]:
    """X.509-SVID, 4.3: a leaf signs handshakes and nothing else."""
    return {
        "allow_any_name": False,
        "allow_localhost": False,
        "require_cn": False,
        "use_csr_common_name": False,
        "basic_constraints_valid_for_non_ca": True,
        "key_usage": ["DigitalSignature"],
        "key_type": "ec",
        "key_bits": 256,
    }


def _mount(
    path: str, wanted: Mapping[str, object], why: str, further: Mapping[str, object] | None = None
) -> Step:
    return Step(
        what=f"{wanted['type']} at {path}",
        why=why,
        read="sys/mounts",
        inside=f"{path}/",
        wanted=wanted,
        write=f"sys/mounts/{path}",
        body={**wanted, **(further or {})},
        fixed=True,
    )


def _policy(policy: VaultPolicy, why: str) -> Step:
    return Step(
        what=f"policy {policy.name}",
        why=why,
        read=f"sys/policies/acl/{policy.name}",
        wanted={"policy": policy.text},
        write=f"sys/policies/acl/{policy.name}",
        body={"policy": policy.text},
    )
