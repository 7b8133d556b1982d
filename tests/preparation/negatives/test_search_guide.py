import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqrec.preparation.negatives.search_guide import SearchGuide

NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-20, 20), st.integers(2**62, 2**62 + 9))


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.lists(NUMBERS, min_size=1, max_size=30))
def test_find_is_the_search_to_the_right_of_equal_integers(numbers, others):
    ascending, wanted = np.sort(np.array(numbers, np.int64)), np.array([*numbers, *others], np.int64)

    found = SearchGuide.of(ascending).find(ascending, wanted)

    assert found.tolist() == np.searchsorted(ascending, wanted, side="right").tolist()


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=60), st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_find_is_the_search_in_cumulative_weights(weights, shares):
    upto = np.concatenate([[0.0], np.cumsum(np.array(weights) ** 0.75)])
    points = np.concatenate([np.array(shares) * upto[-1], upto])[:, None]

    assert (SearchGuide.of(upto).find(upto, points) == np.searchsorted(upto, points, side="right")).all()
