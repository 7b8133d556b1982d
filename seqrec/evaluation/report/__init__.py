"""One self-contained page about a run, and its pictures.

Only the stage imports it.
"""
