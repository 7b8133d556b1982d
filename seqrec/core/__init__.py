"""The ground for all packages: settings, storage, manifests, errors, names of columns, random numbers. Every package
may import it; it imports none, and neither Spark nor TensorFlow.
"""
