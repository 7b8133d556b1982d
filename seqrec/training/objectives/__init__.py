"""Losses that models are trained to minimise, one file each, and what they draw. Only modules of training import them."""
