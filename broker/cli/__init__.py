"""The command line: one module a command. Exit codes: 0 fine, 1 the thing checked is bad, 2 incomplete,
3 could not run.
"""
