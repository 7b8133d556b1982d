"""Made-up events in closed form: user, item and time are functions of (seed, user, number of the event).

Two things are planted:

1. *Lasting taste.* Items belong to hidden clusters, which cross the visible categories and the ranks of popularity.
   A user has three favourite clusters, and most events fall into them. A model that looks at the history as a bag of
   items can learn it; the last item's category says nothing about it.
2. *Short-term step.* Every item has one of two phases, found equally in all clusters; half of the categories hold
   items of one phase, half of the other. All items that a user reviews on one day share a phase. From one day to the
   next the phase stays in `stay_share` of the cases: a gap of a few days means that it has stayed, a gap of weeks that
   it has changed. So the last item alone predicts the next one's phase in `stay_share` of the cases, the last item
   *and* the time since then in nearly all, the time alone in none. Days of several events have no order inside, so
   that breaking ties reveals nothing.

Targets and popularity-drawn negatives have the same popularity, so popularity alone ranks by chance.
"""

from bisect import bisect_right
from collections.abc import Callable
from math import gcd

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import SECONDS_PER_DAY, TIMESTAMP
from seqrec.ingestion.config import SynthesisConfig
from seqrec.ingestion.synthetic.random_columns import integer_below, uniform

USER_NUMBER = "user_number"
EVENT_NUMBER = "event_number"
ITEM_NUMBER = "item_number"
NUM_PHASES = 2

_NUM_EVENTS = "num_events"
_NUM_DAYS = "num_days"
_DAYS = "days"
_PHASES = "phases"
_DAY_NUMBER = "day_number"
_CLUSTER = "cluster"
_PHASE = "phase"

_TAIL = 2.2  # Exponent of the power law of reviews per user.
_ITEM_TAIL = 2.5  # Rank in a group is uniform ** this: the density falls as rank ** (1 / 2.5 - 1).
_SHARED_DAYS = 0.8  # Days per event: two in five events share user and day.
_MAX_DAYS = 100  # Days of a user at most, so that the longest history ends before the dump does.
_NEAR = (1, 2)  # Fewest and most days between two visits that keep the phase.
_FAR = (40, 80)  # Fewest and most days between two visits that change the phase.
_LAST_DAY = 17_800  # 2018-09-26, in days since 1970.
_FIRST_DAY = 9_500  # 1996-01-05
_START_SPREAD = 2_500  # Days over which the last visits are spread.
_FAVOURITE_LIMITS = (0.55, 0.85)  # The first favourite takes 55 %, the second 30 %, the third 15 %.


def build_events(spark: SparkSession, config: SynthesisConfig, seed: int) -> DataFrame:
    """One row per review: user, event and item number, timestamp. Exactly `config.num_reviews` rows."""
    return (
        spark.range(config.num_users, numPartitions=_num_partitions(spark, config))
        .withColumnRenamed("id", USER_NUMBER)
        .withColumn(_NUM_EVENTS, _events_of_user(spark, config))
        .transform(with_days, config, seed)
        .transform(build_visits, seed)
        .transform(with_item, config, seed)
        .select(
            USER_NUMBER,
            EVENT_NUMBER,
            ITEM_NUMBER,
            (F.col(_DAYS)[F.col(_DAY_NUMBER)] * SECONDS_PER_DAY).alias(TIMESTAMP),
        )
    )


def with_days(users: DataFrame, config: SynthesisConfig, seed: int) -> DataFrame:
    """Adds the days (since 1970, ascending) on which each user writes, and the phase of the items of each day."""
    num_days = F.least(F.lit(_MAX_DAYS), F.ceil(F.col(_NUM_EVENTS) * _SHARED_DAYS).cast("int") + 1)
    user = F.col(USER_NUMBER)

    def stays(number: Column) -> Column:
        return uniform(seed, "stays", user, number) < config.stay_share

    def add_day(days: Column, number: Column) -> Column:
        if config.shuffle_times or config.shuffle_structure:
            is_near = uniform(seed, "unrelated gap", user, number) < 0.5
        else:
            is_near = stays(number) == (uniform(seed, "step", user, number) < config.step_share)
        draw = uniform(seed, "gap", user, number)
        gap = F.when(is_near, _between(*_NEAR, draw)).otherwise(_between(*_FAR, draw))
        return F.concat(days, F.array(F.element_at(days, -1) + gap))

    def add_phase(phases: Column, number: Column) -> Column:
        last = F.element_at(phases, -1)
        return F.concat(phases, F.array(F.when(stays(number), last).otherwise(1 - last)))

    def folded(first: Column, add: Callable[[Column, Column], Column]) -> Column:
        steps = F.sequence(F.lit(1), F.col(_NUM_DAYS) - 1)
        return F.when(F.col(_NUM_DAYS) == 1, F.array(first)).otherwise(F.aggregate(steps, F.array(first), add))

    spread = integer_below(_START_SPREAD, seed, "start", user)
    start = F.greatest(F.lit(_FIRST_DAY).cast("long"), _LAST_DAY - F.element_at(F.col("offsets"), -1) - spread)
    return (
        users.withColumn(_NUM_DAYS, num_days)
        .withColumn("offsets", folded(F.lit(0).cast("long"), add_day))
        .withColumn(_PHASES, folded(integer_below(NUM_PHASES, seed, "first phase", user), add_phase))
        .withColumn("start", start)
        .withColumn(_DAYS, F.transform("offsets", lambda offset: offset + F.col("start")))
        .drop("offsets", "start")
    )


def build_visits(users: DataFrame, seed: int) -> DataFrame:
    """One row per event: its number, and the number of its day among the user's days."""
    last_day = F.col(_NUM_DAYS) - 1
    shift = integer_below(1 << 20, seed, "day shift", F.col(USER_NUMBER)) % F.col(_NUM_EVENTS)

    def day_at(event: Column) -> Column:
        return F.floor(event * last_day / F.col(_NUM_EVENTS))

    return (
        users.withColumn("shift", shift)
        .select(
            USER_NUMBER,
            _DAYS,
            _PHASES,
            F.explode(F.sequence(F.lit(0), F.col(_NUM_EVENTS) - 1)).alias(EVENT_NUMBER),
            F.col("shift"),
            _NUM_EVENTS,
            _NUM_DAYS,
        )
        .withColumn(_DAY_NUMBER, (day_at(F.col(EVENT_NUMBER) + F.col("shift")) - day_at(F.col("shift"))).cast("int"))
    )


def with_item(visits: DataFrame, config: SynthesisConfig, seed: int) -> DataFrame:
    """Adds the item: its cluster by taste, its phase by the day, its rank in that group by a power law."""
    event = (F.col(USER_NUMBER), F.col(EVENT_NUMBER))
    anywhere = integer_below(config.num_clusters, seed, "any cluster", *event)
    if config.shuffle_structure:
        cluster = anywhere
    else:
        follows_taste = uniform(seed, "follows taste", *event) < config.taste_share
        cluster = F.when(follows_taste, _favourite(config, seed, *event)).otherwise(anywhere)
    if config.shuffle_structure or config.shuffle_times:
        phase = integer_below(NUM_PHASES, seed, "unrelated phase", *event)
    else:
        phase = F.col(_PHASES)[F.col(_DAY_NUMBER)]
    num_groups = config.num_clusters * NUM_PHASES
    group = F.col(_CLUSTER) * NUM_PHASES + F.col(_PHASE)
    group_size = F.floor((F.lit(config.num_items - 1) - group) / num_groups) + 1
    rank = F.floor(group_size * F.pow(uniform(seed, "rank", *event), F.lit(_ITEM_TAIL)))
    return (
        visits.withColumn(_CLUSTER, cluster)
        .withColumn(_PHASE, phase)
        .withColumn(ITEM_NUMBER, group + num_groups * F.least(rank, group_size - 1))
    )


def coprime_near(target: int, modulus: int) -> int:
    """The least number, `target` or above, that has no factor in common with `modulus`."""
    while gcd(target, modulus) != 1:
        target += 1
    return target


def _favourite(config: SynthesisConfig, seed: int, user: Column, event: Column) -> Column:
    draw = uniform(seed, "which favourite", user, event)
    first, second = _FAVOURITE_LIMITS
    number = F.when(draw < first, 0).when(draw < second, 1).otherwise(2)
    return integer_below(config.num_clusters, seed, "favourite", user, number)


def _between(first: int, last: int, draw: Column) -> Column:
    return F.floor(draw * (last - first + 1)) + first


def _events_of_user(spark: SparkSession, config: SynthesisConfig) -> Column:
    """Events per user by a power law. They are quantiles, not draws, so that the sum can be made exact."""
    users = spark.range(config.num_users).withColumnRenamed("id", USER_NUMBER)
    low, high = 0.0, 4.0 * config.num_reviews / config.num_users
    for _ in range(40):  # Bisection: the total grows with the scale.
        scale = (low + high) / 2
        missing = config.num_reviews - users.agg(F.sum(_quantile(config, scale))).first()[0]
        if 0 <= missing < config.num_users:
            break
        low, high = (scale, high) if missing > 0 else (low, scale)
    quantile = _quantile(config, scale)

    def raised(more: int) -> Column:
        return F.least(F.lit(config.max_reviews_per_user).cast("long"), quantile + more)

    def total(more: int) -> int:
        return users.agg(F.sum(raised(more))).first()[0]

    more = 0
    if missing >= config.num_users:  # Nearly all users need the maximum: those below it get more.
        more = bisect_right(range(config.max_reviews_per_user), config.num_reviews, key=total) - 1
        missing = config.num_reviews - total(more)
    # The first by rank get one event more, if they are below the maximum.
    return (raised(more) + (_user_rank(config) < missing).cast("long")).cast("int")


def _quantile(config: SynthesisConfig, scale: float) -> Column:
    share = (_user_rank(config) + 0.5) / config.num_users
    extra = F.floor(scale * (F.pow(1 - share, F.lit(-1 / _TAIL)) - 1))
    return F.least(F.lit(config.max_reviews_per_user - 1).cast("long"), extra + config.min_reviews_per_user)


def _user_rank(config: SynthesisConfig) -> Column:
    """A permutation of the users that spreads the active ones over all partitions."""
    factor = coprime_near(int(config.num_users * 0.618) + 1, config.num_users)
    return F.pmod(F.col(USER_NUMBER) * factor, F.lit(config.num_users).cast("long"))


def _num_partitions(spark: SparkSession, config: SynthesisConfig) -> int:
    return max(spark.sparkContext.defaultParallelism, config.num_reviews // 1_000_000)
