"""Prepared data as the feed's tests have it: events are read from the same files."""

from tests.feed.conftest import empty_storage, prepared

__all__ = ["empty_storage", "prepared"]
