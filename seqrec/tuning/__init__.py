"""The search for settings: draws trials of one model, trains them, stops bad ones, and compares the winner with the
default. `pipeline` imports it.
"""
