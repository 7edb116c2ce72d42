"""The process that writes one log for the broker that started it, over the socket that is its standard input.
On the one whose number is its argument come the sockets of further ledgers.

It ends with that broker, however that ends; so it heeds none of the signals that a terminal or a service
manager sends to both.
"""

from __future__ import annotations

import signal
import sys
from socket import socket

from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.writer_service import write_log
from broker.adapters.process import harden


def main() -> None:
    """Exits with 2 where standard input is no socket."""
    try:
        ledger, joining = socket(fileno=0), socket(fileno=int(sys.argv[1]))
    except (OSError, ValueError, IndexError):
        print("This writes a broker's log, and a broker starts it: run `broker serve`.", file=sys.stderr)
        sys.exit(2)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    harden()
    write_log(ledger, Disk(), joining)


if __name__ == "__main__":
    main()
