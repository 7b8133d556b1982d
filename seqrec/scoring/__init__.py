"""Finished runs that score: one loader, one cache per process, one place that sets TensorFlow's threads.

Training, evaluation and recommendation may import it; it knows events and models, not what is done with the scores.
"""
