"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from engine.intake.loading import Report

PLAIN_SECONDS: Final = 10.0


@contextmanager
def counting(title: str, *, quiet: bool) -> Iterator[Callable[[Report], None] | None]:
    """A callback that shows how many rows of a file were taken so far; None when quiet."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _plain(title)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title)
        yield lambda report: bar.update(task, description=_line(title, report))


def _plain(title: str) -> Callable[[Report], None]:
    shown_at = time.monotonic()

    def show(report: Report) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= PLAIN_SECONDS:
            shown_at = time.monotonic()
            print(_line(title, report), file=sys.stderr)

    return show


def _line(title: str, report: Report) -> str:
    return f"{title}: {report.accepted:,} accepted, {report.rejected:,} rejected"
