"""The settings: read once from a TOML file and the environment, frozen afterwards; one module a subject.

Knows: names, defaults, limits, what goes together, and where each was written: a mistake is told with its
line, and all of them at once. Must not know: what is built from them (`app` does). It is the only
reader of the environment: every key is also `BROKER__SECTION__KEY`. No setting holds a secret: keys are
files, named here by their path.
"""

from broker.config.credentials import CredentialSettings
from broker.config.keys import KeysSettings, VaultSettings
from broker.config.listen import ServerSettings
from broker.config.loading import load, load_to_serve, load_with_places, parse_to_serve
from broker.config.policy import OpaSettings
from broker.config.problem import LocatedFault
from broker.config.settings import Settings

__all__ = [
    "CredentialSettings",
    "KeysSettings",
    "LocatedFault",
    "OpaSettings",
    "ServerSettings",
    "Settings",
    "VaultSettings",
    "load",
    "load_to_serve",
    "load_with_places",
    "parse_to_serve",
]
