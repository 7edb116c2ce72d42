"""How long a broker takes to start on a long log, with a budget for each of many users.

`python -m tests.bench.start [--entries 1000000] [--windows 100000]` prints, for each start, seconds until it
accepts calls, and how many of a processor the broker and its writer took until then.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from broker.adapters.ledger.keys import LogKeys
from tests.ledger.longlog import make
from tests.processes import children
from tests.running import PROGRAM, RunningBroker, start_broker

NOWHERE = ("--upstream", "http://127.0.0.1:9/v1")


def _cpu(pid: int) -> float:
    """Seconds that all threads of a process have run."""
    ran = (int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(ran) / 1e9


def _started(home: Path, what: str) -> RunningBroker:
    began = time.perf_counter()
    broker = start_broker(home, *NOWHERE, program=PROGRAM)
    wall = time.perf_counter() - began
    writer = sum(_cpu(pid) for pid in children(broker.process.pid))
    print(f"{what:<44}{wall:8.2f} {_cpu(broker.process.pid):8.2f} {writer:8.2f}", flush=True)
    return broker


def main() -> None:
    """The figures."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--entries", type=int, default=1_000_000)
    arguments.add_argument("--windows", type=int, default=100_000)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "b"
        print(f"{'':<44}{'wall s':>8} {'broker':>8} {'writer':>8}")
        _started(home, "an empty log").stop()
        _started(home, "an empty log, again").stop()
        keys = home / "keys/log"
        origin = (home / "log/checkpoint").read_text().split("\n")[0]
        made = LogKeys.load_or_create(keys)
        make(home / "log", asked.entries, made, keys, origin, users=asked.windows)
        for file in keys.glob("spent-*"):
            file.unlink()
        began, ran = time.perf_counter(), time.process_time()
        make(home / "log", 0, made, keys, origin)
        wall, cpu = time.perf_counter() - began, time.process_time() - ran
        print(f"{f'{asked.windows} windows counted anew':<44}{wall:8.2f} {'':>8} {cpu:8.2f}")
        _started(home, f"{asked.entries} entries, first start").kill_all()
        _started(home, "killed, started again").kill_all()
        _started(home, "killed, started again").stop()
        _started(home, "stopped, started again").stop()


if __name__ == "__main__":
    main()
