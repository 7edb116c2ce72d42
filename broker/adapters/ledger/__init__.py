"""The ledger on files: a write-ahead log with group commit, and the C2SP tlog-tiles tree that follows it.

Knows files, threads and durability. Must not know what a record means, who appends, or any listener.
"""

from broker.adapters.ledger.certifying import Certifying
from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.memory import recall

__all__ = ["Certifying", "Disk", "FileLedger", "LogDirectory", "LogKeys", "recall"]
