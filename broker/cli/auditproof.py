"""`broker audit prove` and `broker audit verify-proof`: one entry with all that proves it to be in the log.

Knows terminals, exit codes and remedies. Must not know how a proof is made.
Exit codes: 0 proven, 1 the log or the proof is bad, 2 no checkpoint covers the entry yet, 3 could not run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from broker.adapters.ledger.directory import LogDirectory
from broker.cli.auditlog import Directory, LogKey, TrustedKey, could_not_run, fail, log_key, open_log
from broker.cli.exitcodes import ExitCode
from broker.cli.terminal import printable
from broker.tlog.checkpoint import open_checkpoint
from broker.tlog.entry import parse_entry
from broker.tlog.malformed import MalformedError
from broker.tlog.note import NoteKey
from broker.tlog.proof import LogProof, parse_proof
from broker.tlog.proof import prove as prove_entry
from broker.tlog.tile import WIDTH, node_reader

ProofFile = Annotated[Path, typer.Argument(metavar="FILE", help="What `prove` printed: NAME.tlog-proof.")]
Seq = Annotated[int, typer.Argument(min=0, help="The entry's number: `seq` in what `show` prints.")]
OneDocument = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def prove(directory: Directory, seq: Seq, vkey: LogKey = None, as_json: OneDocument = False) -> None:
    """Print the entry SEQ with the proof that it is in the log (C2SP tlog-proof): to check it, nobody needs
    more than the log's public key.
    """
    log = open_log(directory)
    try:
        proof = _proof(log, seq, log_key(vkey, log))
    except MalformedError as error:
        fail(f"The log is damaged: {error}.", "Run `broker audit verify` on it.", ExitCode.BAD)
    except OSError as error:
        could_not_run(f"The log cannot be read: {error.strerror}.", "Check the path and your permissions.")
    text = proof.encode().decode()
    sys.stdout.write(json.dumps({"seq": seq, "proof": text}) + "\n" if as_json else text)


def verify_proof(proof: ProofFile, vkey: TrustedKey, as_json: OneDocument = False) -> None:
    """Check what `prove` printed, and print the record that it proves. Needs no log."""
    key = log_key(vkey)
    try:
        given = parse_proof(proof.read_bytes())
        checkpoint = given.verified(key)
        entry = parse_entry(given.entry)
    except MalformedError as error:
        fail(f"Not proven: {error}.", "Ask for another proof, from the log itself.", ExitCode.BAD)
    except OSError as error:
        could_not_run(f"The proof cannot be read: {error.strerror}.", "Check the path.")
    record = given.entry.decode()
    if as_json:
        found = {"origin": checkpoint.origin, "size": checkpoint.size, "seq": given.index}
        sys.stdout.write(json.dumps({"proven": True, **found, "entry": json.loads(record)}) + "\n")
    else:
        what = f"entry {given.index} ({entry.record.type.value}) of {printable(checkpoint.origin)}"
        sys.stdout.write(f"proven: {what}, {checkpoint.size} entries\n{record}\n")


def _proof(log: LogDirectory, seq: int, key: NoteKey) -> LogProof:
    """A proof that has been verified. Raises MalformedError, and OSError."""
    signed = log.checkpoint()
    if signed is None or (size := open_checkpoint(signed, key).size) <= seq:
        _not_covered(log, seq)
    entry = log.bundle(seq // WIDTH, size)[seq % WIDTH]
    proof = prove_entry(seq, entry, signed, size, node_reader(size, log.hashes))
    proof.verified(key)
    return proof


def _not_covered(log: LogDirectory, seq: int) -> NoReturn:
    if seq < log.size():
        fail("No checkpoint covers this entry yet.", "Ask again in a second.", ExitCode.INCOMPLETE)
    could_not_run("The log has no such entry.", "`broker audit show` prints each entry's `seq`.")
