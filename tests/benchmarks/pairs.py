"""Two sides timed in turn, so that a ratio holds when the machine's speed drifts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter, sleep

REST = 0.05  # seconds: OpenMP's threads keep spinning for a while after their work
WARM = 5


def rest() -> None:
    """Let cores come to rest."""
    sleep(REST)


def pairs(
    one: Callable[[], object],
    other: Callable[[], object],
    rounds: int,
    warm: int = 0,
    ready: Callable[[], object] = rest,
):
    """Seconds of both sides, taken in turn; the first pair only warms up.

    Each side begins on cores that have come to rest, so that the other's spinning threads do not
    hold them. Sides of a few milliseconds want ``warm`` calls before the one that is timed: a rest
    alone lets a library's threads fall asleep, and their waking was half of torch's time.
    ``ready`` is called before each side in place of the rest, and is not timed.
    """
    times = [(seconds(one, warm, ready), seconds(other, warm, ready)) for _ in range(rounds + 1)]
    return times[1:]


def seconds(side: Callable[[], object], warm: int, ready: Callable[[], object] = rest) -> float:
    """Seconds of one call after a rest and some calls that are not timed."""
    ready()
    for _ in range(warm):
        side()
    start = perf_counter()
    side()
    return perf_counter() - start


def times_faster(times) -> float:
    """Median over the pairs of the other side's time over ours."""
    return median(theirs / ours for ours, theirs in times)


def medians(times) -> tuple[float, float]:
    """Median seconds of each side."""
    ours, theirs = zip(*times, strict=True)
    return median(ours), median(theirs)


def command(*words: object) -> Callable[[], None]:
    """Run embcompress as a process of its own, as a user does."""

    def call() -> None:
        subprocess.run([sys.executable, "-m", "embcompress", *map(str, words)], check=True)

    return call


PEAK = """
import pathlib, resource, sys
from embcompress.cli.entry import run
code = run(sys.argv[1:])
status = pathlib.Path("/proc/self/status")
if status.exists():  # ru_maxrss begins at the peak of the process that started this one
    (line,) = [x for x in status.read_text().splitlines() if x.startswith("VmHWM")]
    print(int(line.split()[1]) * 1024)
else:
    scale = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)
sys.exit(code)
"""


def peak_memory(*words: object) -> int:
    """Peak resident bytes of one embcompress process."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, words)], check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1])
