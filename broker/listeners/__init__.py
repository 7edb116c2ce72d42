"""Listeners: they translate a wire format to a Call and a reply back. They never decide."""
