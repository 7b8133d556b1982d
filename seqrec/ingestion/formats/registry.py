"""Raw formats by name. A new format is one file and one line here."""

import functools
import importlib

from seqrec.ingestion.formats.line_format import LineFormat

# A line is of the first format that it looks like, so the more particular ones come first.
FORMATS = {
    "reviews_2018": "seqrec.ingestion.formats.reviews_2018:Reviews2018",
    "reviews_2023": "seqrec.ingestion.formats.reviews_2023:Reviews2023",
    "ratings": "seqrec.ingestion.formats.ratings:Ratings",
    "metadata_2023": "seqrec.ingestion.formats.metadata_2023:Metadata2023",
    "metadata_2018": "seqrec.ingestion.formats.metadata_2018:Metadata2018",
    "metadata_2014": "seqrec.ingestion.formats.metadata_2014:Metadata2014",
}


@functools.cache
def load_formats() -> tuple[LineFormat, ...]:
    """One object of each format, in the order of the table."""
    return tuple(_load(path) for path in FORMATS.values())


def _load(path: str) -> LineFormat:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)()
