"""The ledger on files: a write-ahead log with group commit, and the C2SP tlog-tiles tree that follows it.

Knows files, threads and durability. Must not know what a record means, who appends, or any listener.

Its modules are imported by name: nothing is imported here, for the process that writes the log would load
what only the broker beside it needs, and a start waits for it.
"""
