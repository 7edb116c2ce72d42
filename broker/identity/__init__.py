"""From a certificate and a token to a Subject, and back: mint, verify, revoke.

Knows: X.509-SVID, JWT, RFC 8705 and the scope grammar. Must not know: grpc, ASGI, files, policy.
"""
