"""A policy's files: read, checked, cut into what a decision needs, packed and verified as a bundle.

Knows: Rego's text, data and their schemas. Must not know: engines.
"""
