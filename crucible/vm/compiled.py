"""Compiled code is kept on disk until a source that it was made from changes."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sources(*files: str) -> str:
    """Give what tells some source files from other versions of them.

    A compiled function that closes over it is compiled anew when one of them changes; by itself
    numba looks only at the file that the function stands in.
    """
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()
