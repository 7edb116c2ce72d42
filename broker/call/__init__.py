"""One call, from a listener to its reply and its records.

Knows: the order of steps, and the facts of a call. Must not know: wire formats, engines, stores.
"""
