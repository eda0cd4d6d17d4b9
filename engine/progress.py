"""A progress bar on a terminal, plain lines elsewhere, nothing where only the result is wanted."""

import sys
from types import TracebackType
from typing import Any, Final, Self

STEPS: Final = 10
"""Elsewhere than on a terminal a line appears per tenth of the way."""


class Progress:
    """Shows how far long work has come, on stderr; call it with a share in [0, 1] and a word."""

    def __init__(self, title: str, *, is_quiet: bool = False) -> None:
        self._title = title
        self._is_quiet = is_quiet
        self._shown = 0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._is_quiet:
            return self
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description:<24}"),
                BarColumn(bar_width=40),
                TextColumn("{task.fields[word]:<24}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=1.0, word="")
        return self

    def __call__(self, share: float, word: str = "") -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=share, word=word)
        elif not self._is_quiet and int(share * STEPS) > self._shown:
            self._shown = int(share * STEPS)
            print(f"{self._title} {share:4.0%}  {word}", file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            if error is None:
                self._bar.update(self._task, completed=1.0)
            self._bar.stop()


class Stages:
    """Several long works after each other, each with a bar of its own."""

    def __init__(self) -> None:
        self._open: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def begin(self, title: str) -> Progress:
        """End what was under way and begin the next."""
        self._end()
        self._open = Progress(title).__enter__()
        return self._open

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None
