"""The composition root: which adapter stands behind which port. Plain constructors, no locator, no global.

Its modules are imported by name: a supervisor needs nothing of what serves calls.
"""
