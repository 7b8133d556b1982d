"""What a plainly clean line of a file looks like: the task that a format sets for the compiled reader."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HELPFUL = "helpful"  # A field of two numbers, `[helpful, all]`, of which the first is the votes.
MAX_COLUMNS = 64  # A ratings file may have so many for the reader to take it.
SECOND_ITEM = "second item"  # A field that names the item where the first one is missing.


@dataclass(frozen=True)
class CleanLine:
    """Columns of ratings, or fields of JSON.

    The reader takes a line only where the exact rules of the format would call it good, and then gives the same values.
    """

    first_second: int  # Seconds since 1970 between which times must lie, both included.
    last_second: int
    max_line_bytes: int
    units_per_second: int = 1  # Units of the times.
    columns: tuple[str, ...] = ()  # A ratings file's, in their order, as `reviews` names them; others are skipped.
    separator: str = ","
    # JSON field -> the column of `reviews` that it gives, HELPFUL or SECOND_ITEM. Other fields are skipped.
    fields: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()  # JSON fields that no clean line has, as the exact rules would look at them too.
