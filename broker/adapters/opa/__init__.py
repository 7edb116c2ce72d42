"""Policy in a sidecar: OPA behind the Authorizer port.

Knows: OPA's REST API. Must not know: what a decision means.
"""

from broker.adapters.opa.authorizer import OpaAuthorizer
from broker.adapters.opa.client import Sidecar

__all__ = ["OpaAuthorizer", "Sidecar"]
