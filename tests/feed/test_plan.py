import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.core.errors import ConfigError, DataError
from seqrec.core.manifest import FileEntry
from seqrec.feed.layout import Layout
from seqrec.feed.plan import advise_on_left_over, describe_plan, plan_epoch


def files(*targets: int) -> list[FileEntry]:
    return [FileEntry(path=f"part-{i}", rows=max(1, n // 4), size=n, targets=n) for i, n in enumerate(targets)]


def layout(**changes: int) -> Layout:
    values = {"seed": 1, "num_streams": 4, "global_batch_size": 40, "files_per_group": 2, **changes}
    return Layout(**values)


def test_plan_epoch_gives_every_file_to_one_stream() -> None:
    all_files = files(*range(100, 116))

    plan = plan_epoch(all_files, layout(), 0)

    dealt = [file.path for groups in plan.streams for group in groups for file in group.files]
    assert sorted(dealt) == sorted(file.path for file in all_files)
    assert [len(group.files) for group in plan.streams[0]] == [2, 2]
    assert [(group.stream, group.index) for group in plan.streams[3]] == [(3, 0), (3, 1)]


def test_plan_epoch_takes_the_steps_of_the_smallest_stream() -> None:
    plan = plan_epoch(files(100, 39, 100, 100), layout(), 0)

    assert plan.steps == 3
    assert plan.left_over == 339 - 3 * 40


def test_plan_epoch_does_not_depend_on_the_workers() -> None:
    all_files = files(*range(100, 116))

    assert plan_epoch(all_files, layout(num_workers=2), 3) == plan_epoch(all_files, layout(num_workers=4), 3)


def test_plan_epoch_deals_differently_in_each_epoch_and_for_each_seed() -> None:
    all_files = files(*range(100, 116))

    plans = [plan_epoch(all_files, layout(), epoch) for epoch in range(3)]
    plans.append(plan_epoch(all_files, layout(seed=2), 0))

    first_files = [tuple(groups[0].files[0].path for groups in plan.streams) for plan in plans]
    assert len(set(first_files)) == 4


@given(
    st.integers(0, 99),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([16, 32, 64]),
    st.floats(0.0, 0.05),
    st.integers(500, 5_000),
)
def test_plan_epoch_leaves_out_at_most_two_percent_and_a_batch(
    epoch: int, num_streams: int, num_files: int, spread: float, size: int
) -> None:
    rng = np.random.default_rng(epoch)
    targets = (size * (1 + rng.uniform(-spread, spread, num_files))).astype(int)

    plan = plan_epoch(files(*targets), layout(num_streams=num_streams), epoch)

    assert 0 <= plan.left_over <= 0.02 * targets.sum() + 40


def test_a_plan_that_leaves_out_a_fifth_of_400_users_says_which_batch_leaves_few() -> None:
    """2,068 targets; the smallest of 8 streams has 240 of them: 4 steps of 50, or 5 of 48."""
    all_files = files(240, 255, 260, 262, 262, 263, 263, 263)
    given = layout(num_streams=8, global_batch_size=400, files_per_group=1)

    assert advise_on_left_over(plan_epoch(all_files, given, 0), given) == (
        "Warning: 468 of 2,068 training targets are left over in each epoch (22.6%): "
        "set training.global_batch_size=384, which leaves 148 (7.2%)."
    )
    followed = layout(num_streams=8, global_batch_size=384, files_per_group=1)
    assert plan_epoch(all_files, followed, 0).left_over == 148
    assert advise_on_left_over(plan_epoch(all_files, followed, 0), followed) is None


@pytest.mark.parametrize(
    ("num_files", "changes", "message"),
    [
        pytest.param(
            12,
            {"num_streams": 8, "global_batch_size": 80},
            "8 does not divide the 12 .*: set training.num_streams=6 and training.global_batch_size=78",
            id="files",
        ),
        pytest.param(
            3,
            {"num_streams": 8, "global_batch_size": 80},
            "8 does not divide the 3 .*: set training.num_streams=3 and training.global_batch_size=78",
            id="fewer files",
        ),
        pytest.param(
            16,
            {"num_streams": 8, "global_batch_size": 81},
            "81 is not a multiple of 8 streams: set training.global_batch_size=80",
            id="batch",
        ),
        pytest.param(
            16,
            {"num_streams": 8, "global_batch_size": 5},
            "5 is not a multiple of 8 streams: set training.global_batch_size=16",
            id="small batch",
        ),
        pytest.param(
            16,
            {"num_workers": 3},
            "num_workers=3 does not divide training.num_streams=4: set training.num_workers=2",
            id="workers",
        ),
        pytest.param(
            16,
            {"num_parts": 3},
            "40 is not a multiple of 4 streams x 3 accumulated parts: set training.global_batch_size=36",
            id="parts",
        ),
    ],
)
def test_plan_epoch_names_the_nearest_good_values(num_files: int, changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_epoch(files(*[100] * num_files), layout(**changes), 0)


def test_plan_epoch_refuses_a_seed_below_0() -> None:
    with pytest.raises(ConfigError, match="seed=-1: give 0 or more"):
        plan_epoch(files(100, 100, 100, 100), layout(seed=-1), 0)


def test_plan_epoch_refuses_a_stream_without_a_step() -> None:
    with pytest.raises(
        DataError,
        match="may have only 9 of the 309 training targets, and a step takes 10 of each: set .*global_batch_size=36",
    ):
        plan_epoch(files(100, 9, 100, 100), layout(), 0)


def test_describe_plan_shows_what_people_decide_by() -> None:
    plan = plan_epoch(files(*[100] * 16), layout(num_workers=2), 0)

    text = describe_plan(plan, layout(num_workers=2))

    assert "epoch 1: 40 steps of 40 examples (4 streams x 10)" in text
    assert "targets: 1,600; left over 0 (0.00%)" in text
    assert "targets per worker: 800, 800" in text
    assert "a group, at most" in text
