"""The benchmark: the broker and its peers, one run, one upstream, one load shape.

Knows: how each peer is installed and started as its users do. Must not know: the broker's inside;
it starts `broker dev` and reads `dev.json`, as any caller would.
"""
