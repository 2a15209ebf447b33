"""Times several ways to do one job, turn by turn in one process, so that only ratios matter."""

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One way to do a job: its name, median seconds of CPU, and how many times faster ours is."""

    job: str
    way: str
    seconds: float
    ratio: float


def compare(job: str, ways: Mapping[str, Callable[[], Any]], *, repeats: int = 5) -> list[Row]:
    """Runs all ways once unmeasured, then in turns.

    Args:
        job: What is done.
        ways: Functions by name, ours first.
        repeats: Measured turns.

    Returns:
        A row a way; CPU seconds of the whole process, which other programs hardly touch.
    """
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(repeats + 1):
        for way, run in ways.items():
            start = time.process_time()
            run()
            if turn:
                taken[way].append(time.process_time() - start)
    seconds = {way: statistics.median(values) for way, values in taken.items()}
    ours = next(iter(seconds.values()))
    return [Row(job, way, value, value / ours) for way, value in seconds.items()]


def show(name: str, rows: list[Row], about: Mapping[str, Any]) -> None:
    """Prints a table and writes it beside the facts of the run as JSON."""
    print(f"\n{name}: {', '.join(f'{key} {value}' for key, value in about.items())}")
    for row in rows:
        print(f"  {row.job:44} {row.way:28} {1e3 * row.seconds:10.1f} ms {row.ratio:8.2f} x ours")
    content = {
        "about": {**about, "torch": torch.__version__, "machine": platform.machine()},
        "rows": [asdict(row) for row in rows],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
