"""RecTools' side of `sasrec_beside_others.py`; needs `pip install "rectools[torch]==0.19.0"` in its own environment.

    PYTHON benchmarks/rectools_process.py REVIEWS BATCH

The same events train as on our side: all but the last two of each user. "train 2" lets the trainer go on for two
epochs, which its callback counts.
"""

import gzip
import json
import sys
import time
from collections import defaultdict

import pandas as pd
from pytorch_lightning import Callback, LightningModule, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet

LENGTH = 50


class Turns(Callback):
    """Waits before every epoch until it is asked for, and answers after the last one asked for."""

    def __init__(self, num_targets: int) -> None:
        self._num_targets = num_targets
        self._left = self._asked = 0
        self._start = self._used = 0.0

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        if self._left:
            return
        if not (line := sys.stdin.readline()):
            trainer.should_stop = True
            raise KeyboardInterrupt
        self._left = self._asked = int(line.split()[1])
        self._start, self._used = time.perf_counter(), time.process_time()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._left -= 1
        if not self._left:
            seconds, used = time.perf_counter() - self._start, time.process_time() - self._used
            print(self._asked * self._num_targets, seconds, used, flush=True)


def main(reviews: str, batch: str) -> None:
    frame, num_targets = _training_events(reviews)
    turns = Turns(num_targets)

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


def _training_events(reviews: str) -> tuple[pd.DataFrame, int]:
    """The events that train, and how many targets they hold."""
    events = defaultdict(list)
    with gzip.open(reviews, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            events[record["reviewerID"]].append((int(record["unixReviewTime"]), record["asin"]))
    rows, num_targets = [], 0
    for user, taken in events.items():
        kept = sorted(taken)[:-2]
        rows += [(user, item, 1, pd.Timestamp(second, unit="s")) for second, item in kept]
        num_targets += min(len(kept) - 1, LENGTH)
    columns = [Columns.User, Columns.Item, Columns.Weight, Columns.Datetime]
    return pd.DataFrame(rows, columns=columns), num_targets


if __name__ == "__main__":
    main(*sys.argv[1:])
