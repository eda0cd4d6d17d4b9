"""Where the workspace is: the last word of a command line, or the folder one stands in."""

import argparse
from pathlib import Path
from typing import Any, Final

HERE: Final = Path()


def add_directory(parser: argparse.ArgumentParser) -> None:
    """Declare `[DIR]`, and `--dir DIR` as some commands took it up to 0.5.0."""
    parser.add_argument(
        "directory", nargs="?", type=Path, default=HERE, metavar="DIR", action=_Given
    )
    parser.add_argument("--dir", type=Path, default=HERE, dest="directory", help=argparse.SUPPRESS)


class _Given(argparse.Action):
    """Keeps what `--dir` said where the word is missing: argparse would write its default over."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if values is not self.default:
            setattr(namespace, self.dest, values)
