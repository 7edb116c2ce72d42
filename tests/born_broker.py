"""`broker WORDS` for a shell: a copy of the nursery's process, with the streams, folder and environment of
this one, which then ends as it does. `Nursery.command` makes it a command. It loads little: it is to begin
in no time.
"""

import json
import os
import signal
import socket
import sys

MOST_BYTES = 128 * 1024


def main() -> int:
    end, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked = {
        "program": "broker.cli.main",
        "words": sys.argv[1:],
        "first": "",
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }
    with socket.socket(fileno=int(os.environ["NURSERY"])) as nursery, told:
        socket.send_fds(nursery, [json.dumps(asked).encode()], [0, 1, 2, told.fileno()])
    pid = json.loads(end.recv(MOST_BYTES))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    code = int(json.loads(end.recv(MOST_BYTES)))
    return code if code >= 0 else 128 - code  # as a shell tells of a signal


if __name__ == "__main__":
    sys.exit(main())
