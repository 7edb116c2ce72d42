"""The transparency log as formats and arithmetic: bytes in, bytes out.

Knows: canonical JSON, signed entries, Merkle trees (RFC 6962, RFC 9162), tiles (C2SP tlog-tiles), signed
notes (C2SP signed-note), checkpoints (C2SP tlog-checkpoint) and how a whole log is verified.
Must not know: files, threads, clocks, sockets or who appends.
"""
