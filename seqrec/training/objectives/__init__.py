"""Losses that models are trained to minimise, one file each, with what they draw. Only training imports them."""
