"""Makes the elements of an iterator in a thread, before they are needed."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

Element = TypeVar("Element")


def prefetched(elements: Iterator[Element], num_ahead: int) -> Generator[Element, None, None]:
    """The same elements, made by a separate thread that is up to `num_ahead` elements ahead.

    An error is raised in place of the element that could not be made. Closing the iterator ends the thread.
    """
    ready: queue.Queue = queue.Queue(num_ahead)
    closed = threading.Event()
    end = object()

    def put(element: object) -> bool:
        while not closed.is_set():
            try:
                ready.put(element, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for element in elements:
                if not put((element, None)):
                    break
        except BaseException as error:
            put((end, error))
        else:
            put((end, None))
        finally:
            getattr(elements, "close", lambda: None)()

    thread = threading.Thread(target=produce, name="feed", daemon=True)
    thread.start()
    try:
        while True:
            element, error = ready.get()
            if error is not None:
                raise error
            if element is end:
                return
            yield element
    finally:
        closed.set()
        thread.join()
