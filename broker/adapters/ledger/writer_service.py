"""The writer of a log: opens what its ledger names, and makes durable what its ledger sends, until it ends.

Knows one socket and one LogStore. Must not know where it runs: in a process of its own (`__main__`), so that
signing, hashing and the tree take nothing from the event loop, or in a test's thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from socket import socket

from broker.adapters.ledger import channel
from broker.adapters.ledger.channel import MessageType, Opening, WriterMessage, WriterMessages
from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.store import LogStore
from broker.errors import BrokerError

RECEIVE_BYTES = 256 * 1024


def write_log(ledger: socket, disk: Disk) -> None:
    """Returns when the ledger sends no more, whether it closed or was killed, or when the disk refused.

    What arrives while a batch is written is the next batch: one sync for all of it.
    """
    with ledger:
        answers, received = _Replies(ledger), _received(ledger)
        store = _opened(next(received, []), answers, disk)
        if store is None:
            return
        try:
            for messages in received:
                said = [each for each in messages if each.says is MessageType.ENTRIES]
                batch = [placed for each in said for placed in channel.parse_entries(each.payload)]
                if batch:
                    answers.say(channel.durable(store.write(batch)))
                if len(said) < len(messages):  # a PING: whoever answers it is not held up by the disk
                    answers.say(WriterMessage(MessageType.PONG, b""))
            store.finish()
        except OSError as error:
            answers.lost(error)
        finally:
            _close(store)


def _close(store: LogStore) -> None:
    """Nobody is told of an error any more: what it leaves is what a crash leaves."""
    with contextlib.suppress(OSError):
        store.close()


class _Replies:
    """What the ledger is told, from the two threads that write. A ledger that is gone hears nothing."""

    def __init__(self, ledger: socket) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()

    def say(self, message: WriterMessage) -> None:
        with self._lock, contextlib.suppress(ConnectionError):
            self._ledger.sendall(message.encode())

    def lost(self, error: OSError) -> None:
        self.say(channel.lost(error))


def _opened(messages: list[WriterMessage], answers: _Replies, disk: Disk) -> LogStore | None:
    """None when the log cannot be opened, or when the ledger ended before it named one."""
    if not messages:
        return None
    try:
        store = LogStore(Opening.parse(messages[0]), disk, answers.lost)
    except BrokerError as error:
        answers.say(channel.refused(error))
        return None
    log = store.recovered
    for windows in channel.spent(store.spent()):
        answers.say(windows)
    answers.say(
        channel.opened(log.snapshot, log.dangling, unremembered=log.unremembered, recounted=store.recounted)
    )
    store.follow()
    return store


def _received(ledger: socket) -> Iterator[list[WriterMessage]]:
    """What lies ready, each time; ends with the ledger."""
    messages = WriterMessages()
    with contextlib.suppress(ConnectionError):
        while data := ledger.recv(RECEIVE_BYTES):
            yield list(messages.feed(data))
