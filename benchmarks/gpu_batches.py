"""Makes the batches that `gpu.py` trains on, by the real feed, as a file that needs no Spark, Petastorm or pyarrow.

    python -m benchmarks.gpu_batches WORKDIR NAME FILE [BATCH [STEPS]]

WORKDIR holds `prepared/NAME`. FILE is an .npz with STEPS global batches of windows and of runs, and the vocabulary.
"""

import sys
from itertools import islice

import numpy as np

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import read_vocabulary
from seqrec.feed.runs import RunFeed
from seqrec.feed.windows import WindowFeed
from seqrec.training.checks import TRAIN, layout_of
from seqrec.training.config import TrainingConfig

LENGTH, STREAMS, SEED = 50, 8, 1


def main(workdir: str, name: str, path: str, batch: str = "6400", steps: str = "4") -> None:
    storage = Storage(workdir)
    prepared = Dataset(storage, "prepared", name).require("prepare")
    vocabulary = read_vocabulary(storage, prepared)
    files = prepared.table(TRAIN).files
    arrays = {
        "num_trained_items": np.array(vocabulary.num_trained_items),
        "num_categories": np.array(vocabulary.num_categories),
        "item_category": vocabulary.item_category,
        "train_count": vocabulary.train_count,
    }
    # A run holds several targets, so a batch of runs is smaller.
    for kind, feed_class, size in (
        ("windows", WindowFeed, int(batch)),
        ("runs", RunFeed, max(STREAMS, int(batch) // 8)),
    ):
        layout = layout_of(TrainingConfig(global_batch_size=size, num_streams=STREAMS), SEED)
        feed = feed_class(storage, files, layout, worker_rank=0, max_history_length=LENGTH)
        for number, made in enumerate(islice(feed.batches(0), int(steps))):
            inner, target = made
            for field, values in zip(inner._fields, inner, strict=True):
                arrays[f"{kind}/{number}/{field}"] = values
            arrays[f"{kind}/{number}/target"] = target
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
