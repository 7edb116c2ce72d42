"""Frozen values that every other package speaks of.

Knows: what a subject, call, finding, decision, grant and record *are*.
Must not know: how any of them is read, stored, sent or decided. Standard library only; no I/O, no clock.
"""
