"""Standard error of a process that hears its native libraries: what is passed on, and what a crash leaves."""

from __future__ import annotations

import subprocess
import sys

_BEFORE = """
import asyncio, os, sys
from broker.adapters.telemetry import NativeLines
def native(text): os.write(2, text.encode())
"""


def said(program: str) -> tuple[int, str]:
    """Exit code and standard error of a program."""
    run = subprocess.run(
        [sys.executable, "-c", _BEFORE + program], check=False, capture_output=True, text=True, timeout=60
    )
    return run.returncode, run.stderr


def test_what_is_no_rejected_handshake_is_passed_on_or_dropped_by_its_level() -> None:
    code, lines = said("""
with NativeLines():
    native("I1128 23:42:29.697725 4721 a.cc:2] chatter\\nE1128 23:42:29.697725 4721 b.cc:3] an error\\n")
    print("python's own", file=sys.stderr)
    native("no line of gRPC's\\n")
print("after", file=sys.stderr)
""")
    assert code == 0
    assert "chatter" not in lines
    assert all(kept in lines for kept in ("an error", "python's own", "no line of gRPC's", "after"))


def test_reasons_are_heard_and_nothing_else_of_the_line() -> None:
    line = "I1128 23:42:29.1 4721 ssl.cc:2] Handshake failed with error SSL_ERROR_SSL"
    code, lines = said(f"""
heard = []
async def main(native_lines):
    native_lines.follow(heard.append)
    routines = "SSL routines:OPENSSL_internal:"
    native("{line}: error:1000007d:" + routines + "CERTIFICATE_VERIFY_FAILED: certificate has expired\\n")
    native("{line}: error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER: Invalid\\n{line}\\n")
    await asyncio.sleep(0.05)
    native_lines.leave()
with NativeLines() as native_lines:
    native("{line}\\n")  # before it is followed: not told
    asyncio.run(main(native_lines))
print(heard, file=sys.stderr)
""")
    assert code == 0
    assert lines.strip() == (
        "['client certificate: certificate has expired', 'wrong version number', 'the connection ended']"
    )


def test_a_crash_is_told() -> None:
    code, lines = said("""
with NativeLines():
    os.abort()
""")
    assert code < 0
    assert "Fatal Python error: Aborted" in lines


def test_a_library_that_writes_more_than_is_read_waits_for_nobody() -> None:
    code, lines = said("""
with NativeLines():
    for _ in range(100_000):
        try:
            native("x" * 100 + "\\n")
        except BlockingIOError:
            break
    else:
        sys.exit("it would have waited")
""")
    assert code == 0
    assert "xxx" in lines
