"""The settings: read once from a TOML file and the environment, frozen afterwards; one module a subject.

Knows: names, defaults, limits. Must not know: what is built from them (`app` does). It is the only
reader of the environment: every key is also `BROKER__SECTION__KEY`. No setting holds a secret: keys are
files, named here by their path.
"""

from broker.config.credentials import CredentialSettings
from broker.config.keys import Keys, Vault
from broker.config.policy import Opa
from broker.config.settings import Settings, load, parse

__all__ = ["CredentialSettings", "Keys", "Opa", "Settings", "Vault", "load", "parse"]
