"""Run every fuzz target under libFuzzer: `make fuzz`, `make fuzz ARGS="--runs 100000 --target rest"`.

Builds cerebellum_core/fuzz/libfuzzer on the stable compiler with coverage counters, writes the examples of
each target (golden vectors, rows of the venue, recorded frames where they are at hand) into its corpus
under data/fuzz/, runs the targets one after the other and prints a line for each. What they find interesting
stays in the corpus for the next run. Ends with 1 when a target found something, and names the input.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CORE = REPOSITORY / "cerebellum_core"
LIBFUZZER = CORE / "fuzz" / "libfuzzer"
TARGETS = (
    "command",
    "reply",
    "event",
    "market",
    "rest",
    "public",
    "private",
    "trade",
    "files",
    "paper",
)
MACHINE = (
    "x86_64-unknown-linux-gnu" if os.uname().machine == "x86_64" else "aarch64-unknown-linux-gnu"
)
# Counters at every edge and the operands of comparisons: what cargo-fuzz asks for, without a sanitizer,
# which only the nightly compiler has.
COVERAGE = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
)
# The largest frame of the wire is 64 KiB; beyond a few kilobytes length teaches nothing but patience.
LONGEST = 8192
DONE = re.compile(
    r"#(?P<runs>\d+)\s+DONE\s+cov: (?P<cov>\d+) ft: (?P<ft>\d+) corp: (?P<corpus>\d+)/\S+.*? "
    r"exec/s: (?P<rate>\d+)"
)


def main(arguments: list[str] | None = None) -> int:
    """Build, write the corpus, run, and say what came of it."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs of each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=TARGETS, action="append", help="these alone")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "data" / "fuzz")
    line = parser.parse_args(arguments)
    build()
    write_corpus(line.folder / "corpus")
    found = [not run(name, line.folder, line.runs, line.seed) for name in line.target or TARGETS]
    return 1 if any(found) else 0


def build() -> None:
    """Build the targets with counters."""
    # With a named target cargo keeps the flags from build scripts and macros, which run here and now.
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--target", MACHINE]
    environment = {**os.environ, "RUSTFLAGS": " ".join(COVERAGE)}
    subprocess.run(command, cwd=LIBFUZZER, env=environment, check=True)


def write_corpus(folder: Path) -> None:
    """Write the examples of every target."""
    command = ["cargo", "run", "--quiet", "--release", "--locked", "-p", "fuzz", "--"]
    command += ["--write-corpus", str(folder)]
    subprocess.run(command, cwd=CORE, check=True)


def run(name: str, folder: Path, runs: int, seed: int) -> bool:
    """Run one target; tells whether it stayed clean."""
    program = LIBFUZZER / "target" / MACHINE / "release" / name
    findings = folder / "findings" / name
    findings.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    command = [
        str(program), f"-runs={runs}", f"-seed={seed}", f"-max_len={LONGEST}", "-timeout=10",
        "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={findings}/",
        str(folder / "corpus" / name),
    ]  # fmt: skip
    with log.open("w", encoding="utf-8") as out:
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
    text = log.read_text(encoding="utf-8", errors="replace")
    done = DONE.search(text)
    if status.returncode == 0 and done:
        print(
            f"{name:8} runs {done['runs']:>8}  cov {done['cov']:>5}  ft {done['ft']:>6}  "
            f"corpus {done['corpus']:>5}  exec/s {done['rate']:>6}  clean",
            flush=True,
        )
        return True
    written = re.findall(r"Test unit written to (\S+)", text)
    said = next(
        (words for words in text.splitlines() if "panicked at" in words or "ERROR:" in words), ""
    )
    print(
        f"{name:8} FOUND {', '.join(written) or 'no input'}: {said.strip()}; all of it in {log}",
        flush=True,
    )
    return False


if __name__ == "__main__":
    sys.exit(main())
