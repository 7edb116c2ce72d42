"""What each policy in Vault allows, path by path, and why: the one source of deploy/vault/*.hcl, of what
`broker vault init` writes and of what `broker doctor` checks.

Knows: paths and capabilities. Must not know: requests. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from textwrap import wrap

_LINE = 110


@dataclass(frozen=True, slots=True)
class VaultNames:
    """How an operator calls things in Vault. Names without slashes at their ends."""

    mount: str = "secret"
    prefix: str = "openai"
    approle: str = "approle"
    role: str = "broker"
    transit: str = "transit"
    pki: str = "pki"
    certifier: str = ""
    listeners: str = ""

    def certifying(self, verb: str) -> str:
        """Where Transit does `verb` with the key that certifies: named as `role`, unless `certifier` says
        otherwise.
        """
        return f"{self.transit}/{verb}/{self.certifier or self.role}"

    @property
    def server_role(self) -> str:
        """The PKI role of the listeners' certificate: named as `role`, unless `listeners` says otherwise."""
        return self.listeners or self.role


class Need(StrEnum):
    """Which use of Vault needs a path."""

    ANY = "any"
    KEYS = "keys"
    CERTIFY = "certify"
    LISTENERS = "listeners"


@dataclass(frozen=True, slots=True)
class PathGrant:
    """One stanza of a policy. `path` is Vault's pattern: a star at its end means whatever follows."""

    path: str
    capabilities: tuple[str, ...]
    why: str
    need: Need = Need.ANY

    @property
    def stanza(self) -> str:
        """As it stands in the policy, on one line."""
        listed = ", ".join(f'"{capability}"' for capability in self.capabilities)
        return f'path "{self.path}" {{ capabilities = [{listed}] }}'


@dataclass(frozen=True, slots=True)
class VaultPolicy:
    """One policy: its name, who gets it, what it allows."""

    name: str
    purpose: str
    grants: tuple[PathGrant, ...]
    absent: str = ""

    @property
    def text(self) -> str:
        """The policy in HCL, with every path's reason."""
        stanzas = [f"{_comment(grant.why)}\n{grant.stanza}" for grant in self.grants]
        rest = [_comment(self.absent)] if self.absent else []
        return "\n\n".join([_comment(self.purpose), *stanzas, *rest]) + "\n"


_OWN_TOKEN = (
    PathGrant(
        "auth/token/renew-self",
        ("update",),
        "The broker's own token, renewed at two thirds of its life. Named here, so that roles can do "
        "without Vault's `default` policy (token_no_default_policy=true), which also opens "
        "cubbyholes, wrapping and identity.",
    ),
    PathGrant(
        "auth/token/revoke-self",
        ("update",),
        "At shutdown, and where a token is replaced, the old one is ended: none lies around until it "
        "expires.",
    ),
)
_ASKING = PathGrant(
    "sys/capabilities-self",
    ("update",),
    "`broker doctor` asks which of these lines the broker has, and whether it has more. It tells "
    "of nobody else's rights.",
)


def broker_policy(names: VaultNames) -> VaultPolicy:
    """All that a running broker may do."""
    return VaultPolicy(
        name=names.role,
        purpose="What one broker may do in Vault, and nothing else: KV version 2 at "
        f"`{names.mount}`, keys below `{names.prefix}`. Made by `broker vault init`; `broker doctor` checks "
        "it line by line.",
        grants=(*_reading_keys(names), *_OWN_TOKEN, *_certifying(names), *_certificates(names), _ASKING),
        absent="Not here, because Vault answers these without a token: auth/*/login, sys/wrapping/lookup. "
        "And not sys/wrapping/unwrap: the wrapping token itself may do that.",
    )


def _reading_keys(names: VaultNames) -> tuple[PathGrant, ...]:
    """[keys] adapter = vault."""
    return (
        PathGrant(
            f"{names.mount}/data/{names.prefix}/*",
            ("read",),
            "The keys themselves: one read per version and credential, and one in each half hold (30 s).",
            Need.KEYS,
        ),
        PathGrant(
            f"{names.mount}/metadata/{names.prefix}/*",
            ("read",),
            "Which version is current, and whether it is deleted or quarantined: once a second per "
            "credential in use. That is how a rotation is seen within a second without the key's leaving "
            "Vault each time. No list: names come from policy.",
            Need.KEYS,
        ),
    )


def _certifying(names: VaultNames) -> tuple[PathGrant, ...]:
    """[vault] certify."""
    return (
        PathGrant(
            names.certifying("sign"),
            ("update",),
            "[vault] certify: Transit signs a statement about each new key, and one checkpoint a minute. "
            "Only this key, and only to sign: it can be neither rotated nor deleted nor configured.",
            Need.CERTIFY,
        ),
        PathGrant(
            names.certifying("keys"),
            ("read",),
            "Its public halves, and whether it can be exported; nothing secret is in the answer. The "
            "broker checks what Transit signed before a log, which forgets nothing, takes it. It refuses "
            "a key that could have left Vault.",
            Need.CERTIFY,
        ),
    )


def _certificates(names: VaultNames) -> tuple[PathGrant, ...]:
    """[vault] pki_role."""
    return (
        PathGrant(
            f"{names.pki}/sign/{names.server_role}",
            ("update",),
            "[vault] pki_role: the certificate of the listeners, for a private key that the broker makes and "
            "keeps. Only this role, and only to sign a request: `issue`, where Vault makes the private "
            "key, is another path.",
            Need.LISTENERS,
        ),
    )


def keys_policy(names: VaultNames) -> VaultPolicy:
    """What `broker keys` needs: for operators, never for a broker."""
    data, metadata = (f"{names.mount}/{part}/{names.prefix}" for part in ("data", "metadata"))
    return VaultPolicy(
        name=f"{names.role}-keys",
        purpose="What an operator needs for `broker keys`, and nothing else. It cannot read a key.",
        grants=(
            PathGrant(
                f"{data}/*",
                ("create", "update"),
                "import, rotate: a new version is written; none is ever read back.",
            ),
            PathGrant(f"{metadata}/", ("list",), "list: the names of the credentials."),
            PathGrant(
                f"{metadata}/*",
                ("read", "patch"),
                "list: versions and their state. quarantine, release: custom metadata beside what is there.",
            ),
        ),
    )


def concrete(grant: PathGrant, credential: str) -> PathGrant:
    """The grant for one credential: what Vault can be asked about."""
    return replace(
        grant, path=grant.path.removesuffix("*") + credential if grant.path.endswith("*") else grant.path
    )


def _comment(text: str) -> str:
    return "\n".join(wrap(text, _LINE, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False))
