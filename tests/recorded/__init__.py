"""Calls as real clients make them, recorded, and sent again."""
