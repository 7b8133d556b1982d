"""Settings of reading sequence files. Free of Petastorm and TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from seqrec.core.config import speed_only

PETASTORM = "petastorm"


@dataclass(frozen=True, kw_only=True)
class FeedConfig:
    """The `feed` section of a run."""

    # Library that reads prepared sequences: petastorm, or pyarrow alone, which works with newer versions of pyarrow and
    # NumPy. Both give the same batches.
    reader: Literal["petastorm", "pyarrow"] = speed_only("petastorm")


DEFAULT_FEED = FeedConfig()
