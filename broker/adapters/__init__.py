"""The outside: each adapter implements one port and is tested against that port's contract."""
