"""Signed bundles of policies, in OPA's own format.

Knows: tar, `.manifest`, `.signatures.json`. Must not know: what a policy means, or who evaluates it.
"""

from broker.adapters.policyfiles.bundle.builder import build
from broker.adapters.policyfiles.bundle.reader import VerifiedBundle, read

__all__ = ["VerifiedBundle", "build", "read"]
