"""What must stand in Vault before the broker is at home there: the plan, its policies, and whether they hold.

Knows: Vault's mounts, policies and capabilities. Must not know: keys.
"""
