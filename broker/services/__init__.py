"""What the protos call services, beside the calls themselves: tokens, administration, explanations.

Knows: the order of steps of each. Must not know: wire formats, engines, stores.
"""
