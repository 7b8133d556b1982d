import numpy as np
import tensorflow as tf

from seqrec.core.batch import History
from seqrec.models.layers.recurrent.log_times import log_days_from_first, log_days_of_last_event, log_days_to_target

DAY = 86_400.0
# Events on days 0, 3 and 10 of a user, the target on day 12; a single event 41 days before its target; nothing.
HISTORY = History(
    items=tf.constant([[[1, 2, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0]]]),
    length=tf.constant([[3, 1, 0]]),
    seconds_to_target=tf.constant([[[12 * DAY, 9 * DAY, 2 * DAY, 0], [41 * DAY, 0, 0, 0], [0, 0, 0, 0]]]),
    seconds_from_first=tf.constant([[[0, 3 * DAY, 10 * DAY, 0], [0, 0, 0, 0], [0, 0, 0, 0]]]),
)


def test_log_days_to_target_is_zero_at_padding():
    expected = [[np.log(12), np.log(9), np.log(2), 0], [np.log(41), 0, 0, 0], [0, 0, 0, 0]]

    np.testing.assert_allclose(log_days_to_target(HISTORY)[0], expected, rtol=1e-6)


def test_log_days_from_first_is_shifted_by_one():
    expected = [[np.log(3), np.log(10), np.log(12), 0], [3.7136, 0, 0, 0], [0, 0, 0, 0]]

    np.testing.assert_allclose(log_days_from_first(HISTORY)[0], expected, rtol=1e-4)


def test_log_days_from_first_counts_from_the_user_not_the_window():
    later = HISTORY._replace(seconds_from_first=HISTORY.seconds_from_first + 100 * DAY)

    np.testing.assert_allclose(log_days_from_first(later)[0, 0, :3], np.log([103, 110, 112]), rtol=1e-5)


def test_log_days_of_last_event_reads_the_last_real_one():
    np.testing.assert_allclose(log_days_of_last_event(HISTORY, None)[0], [np.log(2), np.log(41), 0], rtol=1e-5)


def test_log_days_of_last_event_reads_the_last_column_in_the_reference():
    np.testing.assert_array_equal(log_days_of_last_event(HISTORY, 50)[0], [0, 0, 0])
    np.testing.assert_allclose(log_days_of_last_event(HISTORY, 3)[0], [np.log(2), 0, 0], rtol=1e-5)


def test_same_day_counts_as_half_a_day():
    same_day = HISTORY._replace(seconds_to_target=HISTORY.seconds_to_target * 0.0)

    np.testing.assert_allclose(log_days_to_target(same_day)[0, 0], [np.log(0.5)] * 3 + [0], rtol=1e-6)
