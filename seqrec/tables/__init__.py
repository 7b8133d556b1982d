"""Spark tables: their schemas, their files, digests, sessions, and batches as bytes. Every package that uses Spark may
import it; it imports `core` alone.
"""
