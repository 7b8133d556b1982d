from seqrec.training.reporting.progress import history_csv


def test_history_csv_leaves_a_metric_empty_for_epochs_before_it_was_added() -> None:
    history = [{"epoch": 1, "mrr": 0.5}, {"epoch": 2, "mrr": 0.6, "log2_rank": 1.5}]

    assert history_csv(history).decode().splitlines() == ["epoch,mrr,log2_rank", "1,0.5,", "2,0.6,1.5"]
