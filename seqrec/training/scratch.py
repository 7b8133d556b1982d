"""Where a process puts copies and half-made files."""

import tempfile
from pathlib import Path


def scratch_folder(scratch: str | None) -> tempfile.TemporaryDirectory[str]:
    """A folder of its own below `scratch`, deleted on leaving; `scratch` is made where a machine has no such folder."""
    if scratch:
        Path(scratch).mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="seqrec-", dir=scratch)
