"""What several machines must agree on, in Valkey or Redis: what is taken of limits (adr/0076)."""
