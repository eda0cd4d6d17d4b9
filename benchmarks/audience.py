"""`POST /v1/assignments:batch` over a segment of a million profiles, through the real server.

Run: python -m benchmarks.audience [--people 1000000]

Profiles, their user ids and their memberships are written in bulk; nobody was exposed before. Each
line of the answer is read as it comes and the last one counted against it. Beside the speed stands
the most memory that the server held: the answer is streamed page by page, so it must not grow with
the segment.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

from benchmarks.echoing import Serving
from benchmarks.flags import a_flag_shop
from engine.opened import opened
from engine.steady import present
from engine.store import bulk
from experiments.assignment import assign

FIRST = 10_000_000
"""Ids of the million, away from those of the shop's own people."""
EXPERIMENT = "everyone"
ROWS_AT_ONCE = 50_000
PROFILE = (
    "id", "external_id", "created_at", "zone", "zone_from", "traits", "sealed", "addresses",
    "consent",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=int, default=1_000_000)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.0f}")  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="antiphon-bench-"))
    try:
        key = a_flag_shop(folder / "shop", more={EXPERIMENT: "unit: user\n"})
        began = time.perf_counter()
        _fill(folder / "shop", arguments.people)
        print(f"{arguments.people:,} profiles written in {time.perf_counter() - began:.0f} s")
        server = Serving(folder / "shop")
        try:
            _measure(server, key, segment="named", people=1_000)  # the first pages, unmeasured
            idle = server.peak_mb()
            _measure(server, key, segment="named", people=arguments.people)
            print(f"most memory of the server: {server.peak_mb():.0f} MB, {idle:.0f} MB before")
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _fill(folder: Path, people: int) -> None:
    now = present()
    with opened(folder) as it:
        for start in range(0, people, ROWS_AT_ONCE):
            ids = range(FIRST + start, FIRST + min(start + ROWS_AT_ONCE, people))
            with it.database.write() as connection:
                bulk.insert(
                    connection, "profile", PROFILE,
                    [(id, f"m{id}", now, "UTC", "workspace", "{}", "{}", "{}", "{}") for id in ids],
                )  # fmt: skip
                bulk.insert(
                    connection, "identity", ("kind", "value", "profile_id", "created_at"),
                    [("user", f"m{id}", id, now) for id in ids],
                )  # fmt: skip
                bulk.insert(
                    connection, "membership", ("segment", "profile_id", "since"),
                    [("named", id, now) for id in ids],
                )  # fmt: skip


def _measure(server: Serving, key: str, *, segment: str, people: int) -> None:
    """Ask for everyone, or hang up once so many lines have come."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/v1/assignments:batch",
        data=json.dumps({"experiment": EXPERIMENT, "segment": segment}).encode(),
        headers={"Authorization": f"Bearer {key}"},
    )
    counts: Counter[str] = Counter()
    cpu, began, last, own = server.cpu_seconds(), time.perf_counter(), b"", 0.0
    with urllib.request.urlopen(request, timeout=600) as answer:
        for n, line in enumerate(answer, start=1):
            last = line
            if n % 1_000 == 1 and b'"id"' in line:
                told = json.loads(line)
                given = assign(
                    told["id"], seed=EXPERIMENT, variants=("control", "green"), weights=(1, 1)
                )
                assert told["variant"] == given.variant, (told, given)  # fast and wrong is no use
            counts["lines"] += 1
            if n % 20_000 == 0:
                own = max(own, server.own_mb())
            if n >= people and people < 10_000:
                return
    wall, cpu = time.perf_counter() - began, server.cpu_seconds() - cpu
    summary = json.loads(last)
    assert summary["n"] == counts["lines"] - 1 >= people, summary
    print(
        f"segment of {summary['n']:,}: {summary['n'] / wall:,.0f} units/s by the wall, "
        f"{summary['n'] / cpu:,.0f} a second of the server's processor, {summary['variants']};"
        f" at most {own:.0f} MB of its own"
    )


if __name__ == "__main__":
    sys.exit(main())
