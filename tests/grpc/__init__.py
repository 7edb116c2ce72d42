"""The gRPC listener, over real TLS on loopback with the real stubs; only the core behind it is a stand-in."""

import broker.listeners.grpc  # noqa: F401 - before grpc is imported anywhere: see its docstring
