"""Policy inside the process: rego-cpp behind the Authorizer port.

Knows: Rego files and the engine. Must not know: what a decision means.
"""

from broker.adapters.rego.authorizer import EmbeddedAuthorizer

__all__ = ["EmbeddedAuthorizer"]
