"""Where a door's certificate, key and client CAs lie. Knows paths; must not know TLS libraries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the server's chain and key, and the CAs that client certificates must come from."""

    certificate: Path
    key: Path
    client_ca: Path
