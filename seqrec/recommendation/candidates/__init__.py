"""The stage that finds the items worth scoring of every history, and measures its recall.

The lists import it.
"""
