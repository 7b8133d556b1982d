"""Training batches of windows: each example is one target with the events before it.

Legend: S streams of this worker, B examples of a stream in a step, L padded history length.
"""

from collections.abc import Sequence

import numpy as np

from seqrec.core.batch import History, TrainBatch
from seqrec.core.manifest import FileEntry
from seqrec.events.windows import Segments, WindowEvents, build_events, cut_examples
from seqrec.feed.streams import Arrays, TrainingFeed


class WindowFeed(TrainingFeed[TrainBatch]):
    """Batches of arrays [S, B, L], with every training target once per epoch but those left over."""

    def _lay_out(self, segments: Segments, files: Sequence[FileEntry]) -> tuple[WindowEvents, np.ndarray]:
        events = build_events(segments, self._max_history_length)
        return events, events.targets

    def _cut(self, events: WindowEvents, examples: np.ndarray) -> Arrays:
        history, target_item = cut_examples(events, examples, self._max_history_length)
        return *history, target_item

    def _batch(self, arrays: Arrays) -> TrainBatch:
        return TrainBatch(History(*arrays[:-1]), arrays[-1])
