"""Where the benchmarks look for what they start; it lives in `tests.support.processes`."""

from tests.support.processes import DAY_MS, ORIGIN_MS, REPOSITORY, binary, running, write_keys

__all__ = ["DAY_MS", "ORIGIN_MS", "REPOSITORY", "binary", "running", "write_keys"]
