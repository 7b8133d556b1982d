# ruff: noqa: E501
"""Messages about settings that no table here follows: part of each, and where it is followed, or why it is not."""

_STAGE = "tests/advice/test_stage_advice.py::"
_TRAIN = "tests/training/test_stage.py::"
_RUN_AGAIN = "tests/core/test_stage.py::test_a_result_of_another_recipe_or_too_short_or_forced_is_not_current"
_FILES = "tests/advice/test_named_files.py::"
_WORKERS = "tests/advice/test_worker_advice.py::"
_DRIFT = "tests/evaluation/drift/test_drift.py::"
_CANDIDATES = "tests/recommendation/candidates/test_retrieval_source.py::"

FOLLOWED: dict[str, str] = {
    "--set force=true": _RUN_AGAIN,  # The one remedy of everything that is damaged on disk.
    "set training.loss.name=shared_softmax": f"{_STAGE}test_a_loss_that_needs_too_much_memory",
    "download.categories: ": f"{_STAGE}test_categories_and_editions_of_a_download",
    "in download.catalogue.": f"{_STAGE}test_paths_of_a_catalogue_of_ones_own",
    "events before a target: set model.max_history_length": f"{_STAGE}test_settings_that_the_data_cannot_give",
    "set training.validation_sample": f"{_STAGE}test_too_many_pairs_of_rows_and_items",
    "preparation.validation_boundary falls on": f"{_STAGE}test_boundaries_that_fall_on_one_day",
    "for no warm-up": f"{_STAGE}test_a_warm_up_longer_than_the_training",
    "set ingestion.max_reject_fraction": f"{_STAGE}test_too_many_rejected_lines",
    "set index.kind=exact": f"{_STAGE}test_packages_that_are_not_installed",
    "with ranker.learner=linear": f"{_STAGE}test_packages_that_are_not_installed",
    "or set it to null.": f"{_STAGE}test_packages_that_are_not_installed",
    "Set feed.reader=pyarrow": "tests/feed/test_reader.py::test_without_petastorm_pyarrow_reads_and_petastorm_names_it",
    "seed=…: give": "tests/feed/test_plan.py::test_plan_epoch_refuses_a_seed_below_0",
    "Set ingestion.csv_columns": "tests/ingestion/test_ingest.py::test_ingest_takes_the_order_of_ratings_that_it_is_told",
    "set training.resume=never to start over": f"{_TRAIN}test_run_train_starts_over_when_told_to",
    "set training.scratch": f"{_TRAIN}test_run_train_copies_the_vocabulary_by_way_of_its_scratch",
    "set training.max_gradient_norm": f"{_TRAIN}test_run_train_stops_at_a_loss_that_is_no_number",
    "a ranking model. Name a run of": f"{_CANDIDATES}test_run_candidates_refuses_a_run_of_a_ranking_model",
    "or set training.loss.candidates_share=0": "tests/training/test_target_lists.py::"
    "test_training_without_the_lists_names_the_job_that_makes_them",
    "use candidates.histories=latest": f"{_CANDIDATES}test_measured_candidates_refuse_a_run_that_was_trained_on_other_data",
    "evaluation.protocol=sampled.": "tests/evaluation/test_full_within_groups.py::"
    "test_run_evaluate_refuses_groups_in_which_nothing_competes",
    "preparation.groups: no review is of": "tests/preparation/test_stage.py::"
    "test_run_prepare_names_a_group_that_is_not_there",
    "histories_file: ": f"{_FILES}test_a_file_of_histories_is_read_once_it_is_as_the_message_says",
    "users_file: ": f"{_FILES}test_a_file_of_users_is_read_once_it_is_as_the_message_says",
    "cannot read the config file": f"{_FILES}test_a_config_is_read_once_it_is_as_the_message_says",
    "no such config file": f"{_FILES}test_a_config_that_is_not_named_rightly",
    "--config is empty": f"{_FILES}test_a_config_that_is_not_named_rightly",
    "not valid YAML": f"{_FILES}test_a_config_is_read_once_it_is_as_the_message_says",
    "expected a mapping of sections": f"{_FILES}test_a_config_is_read_once_it_is_as_the_message_says",
    "expected the name of a key": f"{_FILES}test_a_config_is_read_once_it_is_as_the_message_says",
    "is given a second time": f"{_FILES}test_a_config_is_read_once_it_is_as_the_message_says",
    "training.num_workers is above 1": f"{_WORKERS}test_one_worker_needs_no_horovod",
    "slots: submit with": f"{_WORKERS}test_as_many_workers_as_spark_has_slots_are_started",
    "tuning.resume=never": f"{_WORKERS}test_a_study_that_cannot_be_resumed_starts_over",
    "there are no events of": f"{_DRIFT}test_a_day_without_events_on_one_side_is_moved",
    "drift.fail_above=": f"{_DRIFT}test_one_shifted_feature_is_named_and_no_other",
    "more than evaluation.max_catalogue": "tests/evaluation/rankings/test_baseline_tables.py::"
    "test_read_catalogue_refuses_a_large_one_for_a_ranking_model_only",
    "no line holds a review": "tests/ingestion/test_broken_files.py::"
    "test_ingest_reads_reviews_once_the_file_that_is_named_holds_some",
    "evaluation.full_candidates=all.": "tests/evaluation/rankings/test_baseline_tables.py::"
    "test_read_catalogue_needs_no_metadata_where_all_items_compete",
    "sequences/validation has no rows": "tests/training/test_checks.py::"
    "test_run_train_refuses_data_without_validation_rows_before_it_writes",
    "Use the same model settings": "tests/training/test_warm_start.py::test_run_train_starts_from_another_run",
    "is declared otherwise there": "tests/training/test_features.py::"
    "test_a_run_is_continued_only_with_features_of_the_same_declaration",
    "do not say which histories": "tests/recommendation/lists/test_changed_users.py::"
    "test_nobody_is_listed_where_nothing_has_changed",
    "Set ingestion.compiled=false": "tests/ingestion/compiled/test_parts.py::test_all_ways_of_reading_give_the_same_tables_and_counts",
    "Use recommendation.over=catalogue": "tests/recommendation/lists/test_recommend.py::"
    "test_run_recommend_gives_popular_items_where_a_retrieval_run_knows_no_item",
}
_ANOTHER_FILE = "the remedy is another file or other text in it, not a setting"
_BY_STAGE = "the stage's own test sees the refusal; following it would train or score once more"
NOT_FOLLOWED: dict[str, str] = {  # And why.
    "so this is not a file of lines": _ANOTHER_FILE,
    "but source.kind is": "the job that it names is run first",
    "no section 'model'": "the run is trained again",
    "compatibility is": "the type of the key refuses the same value first",
    "more than recommendation.max_catalogue": _BY_STAGE,
    "recommendation.histories is": _BY_STAGE,
    "Raise ranker.held_out_share": _BY_STAGE,
    "ranker.num_ranked": _BY_STAGE,
    "ranker.runs: run": _BY_STAGE,
    "--set candidates.histories": _BY_STAGE,
    "--set preparation.vocabulary": _BY_STAGE,
    "lower preparation.max_targets_per_file": "no input is known that leads to it",
    "export.mlflow_tracking_uri is": _BY_STAGE,
}
