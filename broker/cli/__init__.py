"""The command line: one module a command. Exit codes: 0 fine, 1 the thing checked is bad, 2 incomplete,
3 could not run.
"""

import os
import sys

# gRPC tells of handshakes it rejects at this level; see NativeLines
if sys.argv[1:2] in (["serve"], ["dev"]):
    os.environ.setdefault("GRPC_VERBOSITY", "INFO")

import broker.listeners.grpc  # noqa: F401 - sets grpc's TLS floor, which must happen before grpc is imported
