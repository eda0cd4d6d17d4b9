"""Whole analyses of a Parquet file of units: ours against tea-tasting on polars, in one run.

    python -m benchmarks.analyze [--units 1000000] [--rounds 3] [--keep FOLDER]

Five metrics of a unit, each adjusted by one covariate, or by five. The file is the same for both,
so are the threads (2), and each round runs them in turn; both read the file, make the sums and test
the difference. tea-tasting knows one covariate a metric, so five are compared with our own one.
Prints the median seconds, both ratios, and the most memory of a process that does only our part.

Baseline on 2026-11-23, 2 shared cores under a load of 4 (and of 9), CPython 3.11.7, 10M units:
tea-tasting 2.5 s (4.4), ours 1.5 s (2.1): 0.48 x (0.48); five covariates 1.73 x (1.95); 899 MB.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

THREADS = 2
os.environ["POLARS_MAX_THREADS"] = str(THREADS)  # Read once, when polars is first imported.

import numpy as np  # noqa: E402

from engine.readout.datafile import sum_datafile  # noqa: E402
from engine.readout.datafile_layout import Layout  # noqa: E402
from experiments.analysis.analyze import ExperimentPlan, analyze  # noqa: E402
from experiments.metrics import Metric  # noqa: E402

METRICS = [f"m{i}" for i in range(1, 6)]
COVARIATES = [f"x{i}" for i in range(1, 6)]
CHUNK = 1_000_000
RATIO_WANTED, RATIO_FIVE_WANTED, MEMORY_WANTED = 1.0, 2.0, 1_024


def build(path: Path, *, n_units: int) -> None:
    """A file of units in two variants: skewed spend that past spend explains in part."""
    import pyarrow
    import pyarrow.parquet

    rng = np.random.default_rng(1)
    writer = None
    for start in range(0, n_units, CHUNK):
        n = min(CHUNK, n_units - start)
        arm = rng.integers(0, 2, n)
        past = [rng.gamma(2, 100, n) for _ in COVARIATES]
        spent = [rng.gamma(2, 20 + covariate / 10 + arm) for covariate in past]
        table = pyarrow.table({
            "user": np.arange(start, start + n),
            "variant": arm.astype(np.int8),
            **dict(zip(METRICS, spent, strict=True)),
            **dict(zip(COVARIATES, past, strict=True)),
        })  # fmt: skip
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=CHUNK)
    assert writer is not None
    writer.close()


def ours(path: Path, *, n_covariates: int) -> float:
    """The first metric's lift, of a whole analysis."""
    covariates = tuple(COVARIATES[:n_covariates])
    metrics = [Metric(name=name, covariates=covariates) for name in METRICS]
    sums = sum_datafile(path, layout=Layout(variant="variant"), metrics=metrics)
    plan = ExperimentPlan(
        name="benchmark", control="0", weights={"0": 1, "1": 1}, metrics=metrics, method="fixed",
        adjust="pooled",
    )  # fmt: skip
    return analyze(plan, sums.aggregates).comparisons[0].effect.lift_abs.estimate


def theirs(path: Path) -> float:
    """The same by tea-tasting, lazily, so that only the columns in question are read."""
    import polars
    import tea_tasting

    metrics = {name: tea_tasting.Mean(name, COVARIATES[0]) for name in METRICS}
    found = tea_tasting.Experiment(metrics).analyze(polars.scan_parquet(path), control=0)
    return float(found[METRICS[0]].effect_size)


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """Seconds, and what it found."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def memory_of(path: Path, *, n_covariates: int) -> float:
    """Megabytes at most of a process that analyses the file and does nothing else."""
    command = [sys.executable, "-m", "benchmarks.analyze", "--only", str(path)]
    done = subprocess.run(
        [*command, "--covariates", str(n_covariates)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder to keep the file in, or to find it in")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--covariates", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        ours(options.only, n_covariates=options.covariates)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        path = folder / f"units-{options.units}.parquet"
        if not path.exists():
            build(path, n_units=options.units)
        measure(path, options)


def measure(path: Path, options: argparse.Namespace) -> None:
    print(
        f"{options.units:,} units, {len(METRICS)} metrics, Parquet, {THREADS} threads;"
        f" {platform.machine()}, CPython {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    work: dict[str, Callable[[], float]] = {
        "tea-tasting on polars, 1 covariate": lambda: theirs(path),
        "ours, 1 covariate": lambda: ours(path, n_covariates=1),
        "ours, 5 covariates": lambda: ours(path, n_covariates=5),
    }
    for run in work.values():
        run()  # Imports and the file's pages, once for each.
    rounds = [{name: timed(run) for name, run in work.items()} for _ in range(options.rounds)]
    lifts = [rounds[0][name][1] for name in list(work)[:2]]
    assert abs(lifts[0] / lifts[1] - 1) < 1e-9, f"not the same analysis: {lifts}"
    for name in work:
        seconds = [found[name][0] for found in rounds]
        print(
            f"{name:<36} {median(seconds):6.2f} s (from {min(seconds):.2f} to {max(seconds):.2f})"
        )
    peer, one, five = work
    against = median(found[one][0] / found[peer][0] for found in rounds)
    more = median(found[five][0] / found[one][0] for found in rounds)
    memory = max(memory_of(path, n_covariates=n) for n in (1, 5))
    print(f"ours / tea-tasting                   {against:6.2f} (wanted: {RATIO_WANTED:g})")
    print(f"5 covariates / 1                     {more:6.2f} (wanted: {RATIO_FIVE_WANTED:g})")
    print(f"memory                               {memory:6,.0f} MB (wanted: {MEMORY_WANTED:,})")


if __name__ == "__main__":
    main()
