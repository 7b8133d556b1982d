import threading
import time
from collections.abc import Iterator

import pytest

from seqrec.feed.prefetching import prefetched


def test_prefetched_gives_all_elements_in_order() -> None:
    assert list(prefetched(iter(range(100)), 3)) == list(range(100))


def test_prefetched_raises_where_the_element_would_have_come() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    elements = prefetched(numbers(), 3)

    assert next(elements) == 1
    with pytest.raises(OSError, match="gone"):
        next(elements)


def test_prefetched_ends_its_thread_when_closed() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    elements = prefetched(endless(), 2)
    next(elements)
    elements.close()

    time.sleep(0.05)
    assert not [thread for thread in threading.enumerate() if thread.name == "feed"]
