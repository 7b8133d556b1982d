"""Layers that read events one after the other, and what they need to know of time; only `models` imports them."""
