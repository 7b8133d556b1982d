"""Layers in which events are weighted by learned scores; only `models` imports them."""
