"""The gRPC listener: broker.v1 over mTLS, TLS 1.3 only, one pipeline behind it. It never decides.

Knows: messages, metadata, statuses. Must not know: policy, keys, records.

grpcio has no setting for the lowest TLS version (grpc/grpc#37305). It reads the cipher list for TLS 1.2
from the environment, once, when `grpc` is first imported; TLS 1.3 ciphers are not on that list. With a
pre-shared-key cipher alone, and no such key, a TLS 1.2 handshake finds no cipher. So this package must be
imported before `grpc` is; GrpcServer.start probes its own port and refuses to serve if it was not.

That one thread reads and writes for all connections (adr/0078) is chosen in the environment, too.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # grpc logs each failed handshake otherwise
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-PSK-CHACHA20-POLY1305"
