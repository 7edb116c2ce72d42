"""Two policies' verdicts on the same decisions: what a log recorded, and where a candidate differs.

Knows: records, decisions and flips. Must not know: logs on disks, engines, terminals.
"""
