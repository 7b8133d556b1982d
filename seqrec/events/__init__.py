"""Users' events as flat NumPy arrays, and the vocabulary of items, without Spark and TensorFlow. Every package but
`core` and `tables` may import it; it imports `core` alone.
"""
