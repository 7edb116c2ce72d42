"""What policies name and no key of the configuration serves: a credential, a region, a team.

Knows: the data of policies, and which keys are configured. Must not know: where keys are kept. It is told and
not refused: a call so placed is refused anyway, and policies that withdraw a right must not wait for a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.adapters.policyfiles.datacheck import at_their_lines
from broker.adapters.policyfiles.flaws import Flaw
from broker.adapters.policyfiles.lint import Mistake
from broker.adapters.policyfiles.source import PolicySource
from broker.model.pool import ANYWHERE, Placement, Pool, fits

_Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ConfiguredKeys:
    """The pools by credential, and the credentials that are one key each; `single` is None where the store
    does not tell what it holds.
    """

    pools: Mapping[str, Pool]
    single: frozenset[str] | None


def unserved(source: PolicySource, keys: ConfiguredKeys) -> list[Mistake]:
    """Each of it, once, in the order of lines."""
    return at_their_lines(source, _flaws(source.base, keys))


def credentials_of(source: PolicySource) -> list[str]:
    """The credentials that roles name, sorted."""
    named = (_object(role).get("credential") for role in _object(source.base.get("roles")).values())
    return sorted({credential for credential in named if isinstance(credential, str)})


def _flaws(base: _Table, keys: ConfiguredKeys) -> Iterator[Flaw]:
    grants, roles, seen = _object(base.get("grants")), _object(base.get("roles")), set()
    for name, role in roles.items():
        credential = _object(role).get("credential")
        if isinstance(credential, str) and not _is_kept(credential, keys):
            what = f"`roles.{name}.credential` names {credential!r}, which is no pool and no key."
            yield Flaw(("roles", name, "credential"), what, _KEY.format(name=credential))
    for subject, role_name in _holders(base):
        grant = _object(grants.get(subject))
        role = _object(roles.get(role_name))
        placement = _placement(_object(grant.get("placement")), _object(role.get("placement")))
        credential = role.get("credential")
        if (role_name, placement) in seen or not isinstance(credential, str):
            continue
        seen.add((role_name, placement))
        owner = ("grants", subject) if "placement" in grant else ("roles", role_name)
        if _is_kept(credential, keys) and not _serves(credential, placement, keys):
            yield Flaw((*owner, "placement"), *_told(credential, placement, keys))


def _holders(base: _Table) -> Iterator[tuple[str, str]]:
    """Who may use which role: by a grant, or in an emergency."""
    for table in ("grants", "break_glass"):
        for subject, entry in _object(base.get(table)).items():
            yield subject, str(_object(entry).get("role"))


def _placement(grant: _Table, role: _Table) -> Placement:
    team, region = grant.get("team", role.get("team")), grant.get("region", role.get("region"))
    return Placement(str(team) if team else None, str(region) if region else None)


def _is_kept(credential: str, keys: ConfiguredKeys) -> bool:
    return credential in keys.pools or keys.single is None or credential in keys.single


def _serves(credential: str, placement: Placement, keys: ConfiguredKeys) -> bool:
    pool = keys.pools.get(credential)
    if pool is None:
        return placement == ANYWHERE
    return any(fits(member, placement) for member in pool.members)


def _told(credential: str, placement: Placement, keys: ConfiguredKeys) -> tuple[str, str]:
    named = (("region", placement.region), ("team", placement.team))
    where = " and ".join(f"the {what} {name!r}" for what, name in named if name) or "no team"
    pool = keys.pools.get(credential)
    if pool is None:
        what = f"No key serves {where}: {credential!r} is one key, not a pool."
        return what, _MEMBER.format(name=credential)
    there = sorted({name for member in pool.members for name in (member.region, member.team) if name})
    known = f" Its members name {', '.join(there)}." if there else " Its members name no region and no team."
    return f"No key of the pool {credential!r} serves {where}.", f"{_MEMBER.format(name=credential)}{known}"


_KEY = "Put the key {name} into the store, add [pools.{name}] or [credentials.{name}], or correct the name."
_MEMBER = "Add such a member to [pools.{name}], or correct the placement."


def _object(value: object) -> _Table:
    return value if isinstance(value, dict) else {}
