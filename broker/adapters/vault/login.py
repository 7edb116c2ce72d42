"""How the broker proves to Vault who it is: AppRole, TLS certificate, JWT, Kubernetes.

Knows: Vault's auth methods and the files they need. Must not know: tokens' lives, keys. Blocking.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Any, Protocol

from hvac.api import auth_methods  # type: ignore[import-untyped]
from hvac.api.system_backend import Wrapping  # type: ignore[import-untyped]

from broker.adapters.keyfile import read_private, replace_private
from broker.adapters.vault.errors import VaultError, VaultErrorCode, VaultRefusedError, refused
from broker.adapters.vault.hvac_adapter import HvacAdapter
from broker.adapters.vault.transport import VaultTransport
from broker.errors import BrokerError
from broker.model.secret import Secret

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_MAX_FILE = 64 * 1024
_LOCKOUT_SAFE_SECONDS = 300.0  # Vault locks a role id out after 5 wrong secret ids in 15 minutes

_SAID_NO = frozenset({VaultErrorCode.REJECTED, VaultErrorCode.FORBIDDEN, VaultErrorCode.ABSENT})

Stamp = tuple[tuple[int, int, int], ...]


class Login(Protocol):
    """One auth method. After Vault has refused it, it is tried again once `stamp` has changed, or after
    `rest_seconds`.
    """

    @property
    def rest_seconds(self) -> float: ...

    def stamp(self) -> Stamp:
        """Changes whenever a file that the login needs is replaced."""

    def login(self, transport: VaultTransport, deadline: float) -> dict[str, Any]:
        """Vault's answer to a login. Raises RefusedError."""


@dataclass(slots=True)
class AppRole:
    """A role id, and a secret id that comes response-wrapped in a file: only we can have unwrapped it.

    The file is left in place: its token is spent with the first use, and the broker needs no right to write
    where it lies. A new file is noticed at the next login. `kept` is a 0600 file, best in memory (tmpfs),
    where the secret id outlives a crash of the process, beside the SHA-256 of the token it was wrapped in.
    """

    role_id: str
    wrapped_secret_id: Path
    mount: str = "approle"
    kept: Path | None = None
    rest_seconds: float = _LOCKOUT_SAFE_SECONDS
    _spent: str = field(default="", repr=False)
    _secret_id: Secret | None = field(default=None, repr=False)

    def stamp(self) -> Stamp:
        return _stamp(self.wrapped_secret_id)

    def login(self, transport: VaultTransport, deadline: float) -> dict[str, Any]:
        secret_id = self._unwrapped(transport, deadline)
        api = auth_methods.AppRole(HvacAdapter(transport, None, deadline))
        return _logged_in(
            lambda: api.login(self.role_id, secret_id.reveal(), use_token=False, mount_point=self.mount),
            "the secret id",
        )

    def _unwrapped(self, transport: VaultTransport, deadline: float) -> Secret:
        """The secret id of the file that is there now, unwrapped once. Raises RefusedError."""
        if self._secret_id is not None and not self._replaced():
            return self._secret_id
        wrapping = _text(self.wrapped_secret_id, "the wrapped secret id")
        if (kept := self._kept_for(wrapping)) is not None:
            self._spent, self._secret_id = wrapping, kept
            return kept
        self._refuse_substitute(transport, wrapping, deadline)
        try:
            answer = Wrapping(HvacAdapter(transport, Secret(wrapping), deadline)).unwrap()
            self._secret_id = Secret(answer["data"]["secret_id"])
        except (KeyError, TypeError):
            raise refused(VaultErrorCode.GARBLED, " to unwrap") from None
        except VaultRefusedError as error:
            raise _not_wrapped(error.refusal) from None
        self._spent = wrapping
        if self.kept is not None:
            with suppress(OSError):  # this login is good; only a restart will miss it, and say so
                replace_private(self.kept, f"{_digest(wrapping)} {self._secret_id.reveal()}\n".encode())
        return self._secret_id

    def _kept_for(self, wrapping: str) -> Secret | None:
        """The secret id that an earlier process of ours unwrapped from this very token."""
        if self.kept is None:
            return None
        try:
            spent, _, secret_id = read_private(self.kept).decode("ascii").strip().partition(" ")
        except (OSError, UnicodeDecodeError, BrokerError):
            return None
        return Secret(secret_id) if secret_id and compare_digest(spent, _digest(wrapping)) else None

    def _replaced(self) -> bool:
        try:
            return _text(self.wrapped_secret_id, "") != self._spent
        except VaultRefusedError:
            return False

    def look(self, transport: VaultTransport, deadline: float) -> None:
        """Raises RefusedError where the file holds nothing that could be opened now. It is not opened."""
        self._refuse_substitute(transport, _text(self.wrapped_secret_id, "the wrapped secret id"), deadline)

    def _refuse_substitute(self, transport: VaultTransport, wrapping: str, deadline: float) -> None:
        """A wrapping token of anything but a secret id of this mount was put there by somebody else."""
        try:
            answer = HvacAdapter(transport, None, deadline).post(
                "/v1/sys/wrapping/lookup", json={"token": wrapping}
            )
            path = str(answer["data"]["creation_path"])
        except (KeyError, TypeError):
            raise refused(VaultErrorCode.GARBLED, " to a look at the wrapping token") from None
        except VaultRefusedError as error:
            raise _not_wrapped(error.refusal) from None
        if not (path.startswith(f"auth/{self.mount}/role/") and path.endswith("/secret-id")):
            raise refused(
                VaultErrorCode.NO_LOGIN,
                "the file holds something else than a wrapped secret id of this mount",
                "Find out who put it there; then issue a new one.",
            )


def _not_wrapped(refusal: VaultError) -> VaultRefusedError:
    """Vault says no to a wrapping token that is gone; all else is about Vault."""
    if refusal.cause not in _SAID_NO:
        return VaultRefusedError(refusal)
    return refused(
        VaultErrorCode.NO_LOGIN,
        "the wrapped secret id is spent or expired",
        "Unless an earlier run of the broker unwrapped it, find out who did; then issue a new one.",
    )


@dataclass(frozen=True, slots=True)
class Certificate:
    """The client certificate that the Cluster names; Vault checks it again with every renewal."""

    certificate: Path
    role: str
    mount: str = "cert"
    rest_seconds: float = 2.0

    def stamp(self) -> Stamp:
        return _stamp(self.certificate)

    def login(self, transport: VaultTransport, deadline: float) -> dict[str, Any]:
        """hvac's own method would need the files once more, beside those of the connection."""
        transport.reconnect()
        adapter = HvacAdapter(transport, None, deadline)
        path = f"/v1/auth/{self.mount}/login"
        return _logged_in(lambda: adapter.post(path, json={"name": self.role}), "the client certificate")


@dataclass(frozen=True, slots=True)
class Jwt:
    """A JWT or JWT-SVID in a file that something else keeps fresh."""

    role: str
    file: Path
    mount: str = "jwt"
    rest_seconds: float = 2.0

    def stamp(self) -> Stamp:
        return _stamp(self.file)

    def login(self, transport: VaultTransport, deadline: float) -> dict[str, Any]:
        token = Secret(_text(self.file, "the JWT"))
        api = auth_methods.JWT(HvacAdapter(transport, None, deadline))
        return _logged_in(
            lambda: api.jwt_login(self.role, token.reveal(), use_token=False, path=self.mount), "the JWT"
        )


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """The pod's service-account token."""

    role: str
    file: Path = SERVICE_ACCOUNT_TOKEN
    mount: str = "kubernetes"
    rest_seconds: float = 2.0

    def stamp(self) -> Stamp:
        return _stamp(self.file)

    def login(self, transport: VaultTransport, deadline: float) -> dict[str, Any]:
        token = Secret(_text(self.file, "the service-account token"))
        api = auth_methods.Kubernetes(HvacAdapter(transport, None, deadline))
        return _logged_in(
            lambda: api.login(self.role, token.reveal(), use_token=False, mount_point=self.mount),
            "the service-account token",
        )


class _Call(Protocol):
    def __call__(self) -> dict[str, Any]: ...


def _logged_in(call: _Call, proof: str) -> dict[str, Any]:
    """Vault says no with 400, 403 or 404: that is about the login. All else is about Vault."""
    try:
        return call()
    except VaultRefusedError as error:
        refusal = error.refusal
    if refusal.cause in _SAID_NO:
        raise refused(
            VaultErrorCode.NO_LOGIN,
            f"it refuses {proof}",
            f"Check the role and the mount; then issue {proof} anew.",
        )
    raise VaultRefusedError(refusal)


def _digest(wrapping: str) -> str:
    return sha256(wrapping.encode()).hexdigest()


def _stamp(*paths: Path) -> Stamp:
    return tuple(_facts(path) for path in paths)


def _facts(path: Path) -> tuple[int, int, int]:
    try:
        facts = path.stat()
    except OSError:
        return (0, 0, 0)
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _text(path: Path, what: str) -> str:
    """A file's one word of text. Raises RefusedError, which quotes nothing of it."""
    try:
        with path.open("rb") as source:
            text = source.read(_MAX_FILE).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text or not text.isprintable() or " " in text:
        raise refused(
            VaultErrorCode.NO_LOGIN, f"the file with {what} cannot be read", f"Put {what} into {path}."
        )
    return text
