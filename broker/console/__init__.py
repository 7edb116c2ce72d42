"""The console listener: metrics, health and a status page, plain HTTP on loopback only.

Knows: what an operator of this machine may see. Must not know: records, prompts, keys, tokens.
"""
