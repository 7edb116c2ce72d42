"""What stands at a path of this machine, and why it cannot be what a setting names it for.

Knows: files, folders, PEM files, rights. Must not know: any setting. Writes nothing. A path is quoted only
where it is an absolute one: anything else could be a secret, pasted there.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

Flaw = str | None
"""What is wrong, in half a sentence; None: nothing."""
Judge = Callable[[Path, int | None], Flaw]
"""Says it of a path and the mode of what is there, None where nothing is."""

_QUOTED = 200


def flaw(path: Path, judge: Judge) -> Flaw:
    """What `judge` says of what is there, or why nobody can tell."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
    except OSError as error:
        return f"{quoted(path)} cannot be looked at: {error.strerror}"
    except ValueError:
        return "no path holds such a character"
    return judge(path, mode)


def read_file(path: Path, mode: int | None) -> Flaw:
    """A file that must be there."""
    if mode is None:
        return f"{quoted(path)} is not there"
    return later_file(path, mode) or _forbidden(path, os.R_OK, "read")


def later_file(path: Path, mode: int | None) -> Flaw:
    """A file that something else may put there while the broker runs."""
    folder = mode is not None and stat.S_ISDIR(mode)
    return f"{quoted(path)} is a folder, where a file is needed" if folder else None


def made_file(path: Path, mode: int | None) -> Flaw:
    """A file that the broker makes where it is missing, with the folders above it."""
    return _above(path) if mode is None else read_file(path, mode)


def read_folder(path: Path, mode: int | None) -> Flaw:
    """A folder that must be there."""
    if mode is None:
        return f"{quoted(path)} is not there"
    return _no_folder(path, mode) or _forbidden(path, os.R_OK | os.X_OK, "read")


def later_folder(path: Path, mode: int | None) -> Flaw:
    """A folder that somebody else may make while the broker runs, with those above it."""
    return _unmakeable(path) if mode is None else read_folder(path, mode)


def made_folder(path: Path, mode: int | None) -> Flaw:
    """A folder that the broker writes to, and makes where it is missing, with those above it."""
    if mode is None:
        return _above(path)
    return _no_folder(path, mode) or _forbidden(path, os.W_OK | os.X_OK, "written to")


def certificates(path: Path, mode: int | None) -> Flaw:
    """A PEM file with a certificate, or with CAs."""
    unread = read_file(path, mode)
    told = f"{quoted(path)} holds no certificate in PEM"
    return unread or _unusable(lambda: ssl.create_default_context(cafile=path), told)


def pair_flaw(certificate: Path, key: Path) -> Flaw:
    """Of two PEM files that can be read: a certificate and its private key, not encrypted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    told = f"{quoted(key)} is no plain private key (PEM) of that certificate"
    return _unusable(lambda: context.load_cert_chain(certificate, key, lambda: ""), told)


def quoted(path: Path) -> str:
    """The path, where it is surely one."""
    text = str(path)
    return text if path.is_absolute() and text.isprintable() and len(text) <= _QUOTED else "the path"


def _unusable(load: Callable[[], object], told: str) -> Flaw:
    try:
        load()
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return told
    return None


def _no_folder(path: Path, mode: int) -> Flaw:
    return None if stat.S_ISDIR(mode) else f"{quoted(path)} is a file, where a folder is needed"


def _forbidden(path: Path, right: int, what: str) -> Flaw:
    return None if os.access(path, right) else f"{quoted(path)} cannot be {what} by this user"


def _above(path: Path) -> Flaw:
    """Where this user cannot make the path."""
    return _unmakeable(path) or _forbidden(_standing(path), os.W_OK | os.X_OK, "written to")


def _unmakeable(path: Path) -> Flaw:
    """Where nobody can make the path."""
    above = _standing(path)
    return None if above.is_dir() else f"{quoted(path)} cannot be made: {quoted(above)} is no folder"


def _standing(path: Path) -> Path:
    """The nearest path above that is there."""
    above = path.absolute().parent
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    return above
