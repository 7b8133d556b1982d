"""The fate of every line (written, rejected for a reason, repeated or blank), counted per file in the same pass."""

import json
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from seqrec.core.errors import DataError

FILE_PATH = "file_path"  # Column: the file of a line, as Spark names it; see `path_of`.
STATE = "state"  # Column: the fate of a line: `good`, `blank` or one of the reasons.
GOOD = "good"
BLANK = "blank"  # State of empty lines and of the header of a ratings file.
CONVERTED = "converted"  # State of good lines with a value of another type that was converted without loss.
WRITTEN = (GOOD, CONVERTED)  # States of the lines that are kept.
TRUNCATED = "truncated"
REASONS = (
    "malformed",  # The line is neither JSON nor a Python literal, or not one object.
    "several_records",  # The line holds more than one object, as when a newline is lost.
    "wrong_columns",  # A ratings line has more or fewer columns than its file.
    "wrong_type",  # A field that is used holds a value of another type, which cannot be converted without loss.
    "missing_user",
    "missing_item",
    "missing_timestamp",
    "bad_user",  # Spaces, control characters, brackets, invalid UTF-8, or over 128 characters: not an id.
    "bad_item",
    "bad_timestamp",  # The time is before ingestion.first_day or after ingestion.last_day.
    "bad_rating",  # The rating is not a number from 0 to 5.
    "too_long",  # The line has more than ingestion.max_line_bytes.
    TRUNCATED,  # The line in which a cut-off archive ends.
)
_STATES = (*WRITTEN, BLANK, *REASONS)
_BIN = "bin"  # Column: the file and the state of a line as one number.
_STATE_BITS = 5  # Bits of the number that hold the state.
# Characters that Java leaves as they are, besides letters, digits and `-._`, which `quote` leaves alone too.
_UNQUOTED = frozenset("/:@&=+$,;!~*'()")
_QUOTED_CATEGORIES = frozenset({"Zs", "Zl", "Zp", "Cc"})  # Unicode categories of spaces and control characters.
_FILE_BITS = 40  # With the state 45 bits: a double holds such a number, and means of equal numbers, exactly enough.


@dataclass
class FileCounts:
    """Counts of the lines of one raw file: those read (`lines`), and how many of them met each fate."""

    source: str
    written: int = 0
    converted: int = 0  # Written lines with values such as "5.0" or 1.4e9 that were converted without loss.
    repeated: int = 0  # Later metadata lines of an item that has one already; only the first is kept.
    blank: int = 0
    rejects: dict[str, int] = field(default_factory=dict)  # Reason -> number of lines rejected for it.

    @property
    def num_rejects(self) -> int:
        return sum(self.rejects.values())

    @property
    def lines(self) -> int:
        return self.written + self.repeated + self.blank + self.num_rejects

    def add(self, state: str, count: int) -> None:
        """Counts `count` more lines of the state `state`."""
        if state in WRITTEN:
            self.written += count
            self.converted += count if state == CONVERTED else 0
        elif state == BLANK:
            self.blank += count
        else:
            self.rejects[state] = self.rejects.get(state, 0) + count

    def merge(self, other: "FileCounts") -> None:
        """Adds the counts of other lines of the same file."""
        self.written += other.written
        self.converted += other.converted
        self.repeated += other.repeated
        self.blank += other.blank
        for reason, number in other.rejects.items():
            self.rejects[reason] = self.rejects.get(reason, 0) + number

    def as_dict(self) -> dict[str, object]:
        """The counts as the manifest keeps them."""
        return {
            "source": self.source,
            "lines": self.lines,
            "written": self.written,
            "converted": self.converted,
            "repeated": self.repeated,
            "blank": self.blank,
            "rejects": dict(sorted(self.rejects.items())),
        }


class LineCounter:
    """Counts lines by file and state on their way to the disk, in the same Spark job.

    Spark's observed metrics have no grouping, but a histogram with a bin for every value that occurs is exact: its
    bins are (number of the file and state, count), and it merges unequal bins only when it runs out of them.
    """

    def __init__(self, spark: SparkSession, name: str, sources: Mapping[str, str]):
        """Args:
        sources: address of a file as Spark reads it -> address of the raw file that it is, or is a piece of.
        """
        self._observation = Observation(name)
        self._num_bins = 2 * len(_STATES) * len(sources) + 1024
        self._all_sources = dict.fromkeys(sources.values())
        paths = spark.createDataFrame(
            [(path_of(uri), source) for uri, source in sources.items()], "path string, source string"
        )
        for self._seed in range(100):  # Two files share a number once in 10^5 runs; then other numbers are drawn.
            self._sources = dict(paths.select(self._file_number(F.col("path")), "source").collect())
            if len(self._sources) == len(sources):
                break

    def watch(self, lines: DataFrame) -> DataFrame:
        """`lines` unchanged; once they have been written, `counts` returns how many there were.

        Args:
            lines: with the columns `file_path` and `state`.
        """
        state_number = F.call_function("array_position", F.array(*map(F.lit, _STATES)), F.col(STATE)) - 1
        key = self._file_number(F.col(FILE_PATH)) * (1 << _STATE_BITS) + state_number
        # The bin is a column of its own, which Spark compiles; inside an observed metric it would be interpreted.
        bins = F.histogram_numeric(_BIN, F.lit(self._num_bins))
        observed = lines.withColumn(_BIN, key.cast("double")).observe(self._observation, F.to_json(bins).alias("bins"))
        return observed.drop(_BIN)

    def counts(self) -> list[FileCounts]:
        """The counts of every file. Blocks until the lines have been written."""
        counts = {source: FileCounts(source) for source in self._all_sources}
        for one in json.loads(self._observation.get.get("bins") or "[]"):
            key = round(one["x"])
            source = self._sources[key >> _STATE_BITS]
            counts[source].add(_STATES[key & ((1 << _STATE_BITS) - 1)], round(one["y"]))
        return list(counts.values())

    def _file_number(self, path: Column) -> Column:
        return F.pmod(F.xxhash64(path, F.lit(self._seed)), F.lit(1 << _FILE_BITS))


def path_of(uri: str) -> str:
    """The address of a file as in Spark's `_metadata.file_path`: a Java URI, which quotes some characters."""
    quoted = "".join(letter if _stays(letter) else quote(letter) for letter in uri)
    return "file:" + quoted.removeprefix("file://") if quoted.startswith("file://") else quoted


def _stays(letter: str) -> bool:
    if letter.isascii():
        return letter in _UNQUOTED
    return unicodedata.category(letter) not in _QUOTED_CATEGORIES


def counts_table(counts: list[FileCounts]) -> str:
    """The counts as text: one row per file and a total."""
    total = FileCounts("total")
    for one in counts:
        total.merge(one)
    width = max(len(one.source.rpartition("/")[2]) for one in [*counts, total])
    names = f"{'lines':>13}  {'written':>13}  {'converted':>10}  {'repeated':>10}  {'blank':>8}  {'rejects':>9}"
    head = f"{'file':<{width}}  {names}"
    rows = [head]
    for one in [*counts, total] if len(counts) > 1 else counts:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in sorted(one.rejects.items()))
        name = one.source.rpartition("/")[2]
        rows.append(
            f"{name:<{width}}  {one.lines:>13,}  {one.written:>13,}  {one.converted:>10,}  {one.repeated:>10,}  "
            f"{one.blank:>8,}  {one.num_rejects:>9,}" + (f"  ({reasons})" if reasons else "")
        )
    return "\n".join(rows)


def check_rejects(counts: list[FileCounts], max_fraction: float) -> None:
    """Refuses files that have lost too many lines.

    Raises:
        DataError: more than `max_fraction` of the lines that are not blank were rejected.
    """
    rejects = sum(one.num_rejects for one in counts)
    lines = sum(one.lines - one.blank for one in counts)
    if rejects > max_fraction * lines:
        worst = max(counts, key=lambda one: one.num_rejects)
        reason = max(worst.rejects, key=lambda name: worst.rejects[name])
        raise DataError(
            f"{rejects:,} of {lines:,} lines were rejected, more than ingestion.max_reject_fraction={max_fraction:g} "
            f"allows; most in {worst.source.removeprefix('file://')} ({reason}: {worst.rejects[reason]:,}). "
            "Nothing was published. Fix the file, or set "
            f"ingestion.max_reject_fraction={math.ceil(1000 * rejects / lines) / 1000:g}."
        )
