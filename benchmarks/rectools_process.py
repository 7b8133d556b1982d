"""RecTools' side of `sasrec_beside_others.py`; needs `pip install "rectools[torch]==0.19.0"` in its own environment.

    PYTHON benchmarks/rectools_process.py REVIEWS BATCH

The same events train as on our side: all but the last two of each user. "train 2" lets the trainer do two more
steps, whose targets its callback counts. An epoch's first batch is made before the clock runs.
"""

import gzip
import json
import os
import sys
import time
from collections import defaultdict
from typing import Any

import pandas as pd
from pytorch_lightning import Callback, LightningModule, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet

LENGTH = 50


class Turns(Callback):
    """Waits before a step until steps are asked for, and answers after the last one asked for."""

    def __init__(self) -> None:
        self._left = self._targets = 0
        self._start = self._used = 0.0

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, number: int) -> None:
        if not self._left:
            if not (line := sys.stdin.readline()):
                os._exit(0)
            self._left, self._targets = int(line.split()[1]), 0
            self._start, self._used = time.perf_counter(), time.process_time()
        self._targets += int((batch["y"] != 0).sum())

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, number: int
    ) -> None:
        self._left -= 1
        if not self._left:
            seconds, used = time.perf_counter() - self._start, time.process_time() - self._used
            print(self._targets, seconds, used, flush=True)


def main(reviews: str, batch: str) -> None:
    frame, turns = _training_events(reviews), Turns()

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=1_000,
            callbacks=[turns],
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    model = SASRecModel(
        n_blocks=2,
        n_heads=1,
        n_factors=64,
        dropout_rate=0.6,
        session_max_len=LENGTH,
        batch_size=int(batch),
        loss="softmax",
        lr=1.0e-3,
        item_net_block_types=(IdEmbeddingsItemNet,),
        get_trainer_func=trainer,
    )
    print("ready", flush=True)
    model.fit(Dataset.construct(frame))


def _training_events(reviews: str) -> pd.DataFrame:
    """The events that train."""
    events = defaultdict(list)
    with gzip.open(reviews, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            events[record["reviewerID"]].append((int(record["unixReviewTime"]), record["asin"]))
    rows = []
    for user, taken in events.items():
        kept = sorted(taken)[:-2]
        rows += [(user, item, 1, pd.Timestamp(second, unit="s")) for second, item in kept]
    columns = [Columns.User, Columns.Item, Columns.Weight, Columns.Datetime]
    return pd.DataFrame(rows, columns=columns)


if __name__ == "__main__":
    main(*sys.argv[1:])
