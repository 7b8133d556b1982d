"""The reference implementation, driven line by line: run with the Python of an environment that has recommenders 1.2.1.

    PYTHON benchmarks/reference_process.py MODEL REVIEWS FOLDER FULL

It answers each line of stdin ("train 20": 20 batches of 400 positives; "score 20": 20 batches of 8 groups of 1+49) with
one line: how many positives or groups, and in how many seconds. Reading and parsing its text files is not timed.
"""

import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from beauty_sequences import Sequences, read_sequences

BATCH, HISTORY, NUM_TEST_NEGATIVES = 400, 50, 49
CATEGORY = "default_cat"


def main(model_name: str, reviews: str, folder: str, full: str) -> None:
    sequences = read_sequences(reviews)
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_vocabularies(sequences, folder)
    rng = np.random.default_rng(1)
    train_file, test_file = f"{folder}/train", f"{folder}/test"
    write_lines(sequences, rng.permutation(sequences.train_targets)[: 60 * BATCH], train_file, 0, full == "full")
    write_lines(sequences, sequences.test_targets[:400], test_file, NUM_TEST_NEGATIVES, full == "full")
    model = build(model_name, folder)
    batches = {"train": endless(model, train_file, 4), "score": endless(model, test_file, 0)}
    work = {"train": model.train, "score": model.eval}
    for kind in batches:
        work[kind](model.sess, next(batches[kind]))
    print("ready", flush=True)
    for line in sys.stdin:
        kind, number = line.split()
        start, used = time.perf_counter(), time.process_time()
        done = 0
        for _ in range(int(number)):
            batch = next(batches[kind])
            work[kind](model.sess, batch)
            done += len(batch[model.iterator.labels])
        done //= 5 if kind == "train" else 1 + NUM_TEST_NEGATIVES
        print(done, time.perf_counter() - start, time.process_time() - used, flush=True)


def build(model_name: str, folder: str) -> object:
    from recommenders.models.deeprec.deeprec_utils import prepare_hparams
    from recommenders.models.deeprec.io.sequential_iterator import SequentialIterator
    from recommenders.models.deeprec.models.sequential.asvd import A2SVDModel
    from recommenders.models.deeprec.models.sequential.sli_rec import SLI_RECModel

    model_type, model_class = {"a2svd": ("A2SVD", A2SVDModel), "sli_rec": ("sli_rec", SLI_RECModel)}[model_name]
    hparams = prepare_hparams(
        None,
        method="classification",
        model_type=model_type,
        user_vocab=f"{folder}/users",
        item_vocab=f"{folder}/items",
        cate_vocab=f"{folder}/categories",
        layer_sizes=[100, 64],
        att_fcn_layer_sizes=[80, 40],
        activation=["relu", "relu"],
        user_dropout=True,
        dropout=[0.3, 0.3],
        item_embedding_dim=32,
        cate_embedding_dim=8,
        user_embedding_dim=16,
        hidden_size=40,
        attention_size=40,
        init_method="tnormal",
        init_value=0.01,
        embed_l1=0.0,
        embed_l2=0.0,
        layer_l1=0.0,
        layer_l2=0.0,
        cross_l1=0.0,
        cross_l2=0.0,
        learning_rate=0.001,
        loss="softmax",
        optimizer="adam",
        epochs=1,
        batch_size=BATCH,
        enable_BN=True,
        EARLY_STOP=10,
        max_seq_length=HISTORY,
        need_sample=True,
        train_num_ngs=4,
        show_step=10**9,
        save_model=False,
        save_epoch=1,
        metrics=["auc"],
        pairwise_metrics=["group_auc"],
        write_tfevents=False,
        MODEL_DIR=folder,
        SUMMARIES_DIR=folder,
    )
    return model_class(hparams, SequentialIterator, seed=1)


def endless(model: object, path: str, num_negatives: int) -> Iterator[dict]:
    while True:
        for batch in model.iterator.load_data_from_file(path, min_seq_length=1, batch_num_ngs=num_negatives):
            if batch:
                yield batch


def write_vocabularies(sequences: Sequences, folder: str) -> None:
    items = {"default_mid": 0} | {str(item): item for item in range(1, sequences.num_items + 1)}
    for name, values in (("users", {"u": 0}), ("items", items), ("categories", {CATEGORY: 0, "all": 1})):
        with open(f"{folder}/{name}", "wb") as stream:
            pickle.dump(values, stream)


def write_lines(sequences: Sequences, targets: np.ndarray, path: str, num_negatives: int, full: bool) -> None:
    """The reference's text lines; with `full`, short histories repeated to 50 events."""
    rng = np.random.default_rng(2)
    with open(path, "w") as stream:
        for target in targets:
            history = np.arange(sequences.user_start[target], target)
            if full:
                history = np.sort(np.resize(history[-HISTORY:], HISTORY))
            items = ",".join(map(str, sequences.items[history]))
            times = ",".join(map(str, sequences.times[history]))
            categories = ",".join(["all"] * len(history))
            candidates = [sequences.items[target], *rng.integers(1, sequences.num_items + 1, num_negatives)]
            for place, item in enumerate(candidates):
                line = f"{int(place == 0)}\tu\t{item}\tall\t{sequences.times[target]}\t{items}\t{categories}\t{times}\n"
                stream.write(line)


if __name__ == "__main__":
    tf.compat.v1.logging.set_verbosity("ERROR")
    main(*sys.argv[1:])
