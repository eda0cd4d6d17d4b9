"""`antiphon worker`: play and send for a share of the profiles, beside other workers."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

HELP: Final = "play and send for a share of the profiles, beside other workers (PostgreSQL)"
EXAMPLE: Final = "example: antiphon worker shop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")


def run(arguments: argparse.Namespace) -> int:
    """Work until stopped; 0 after a clean stop."""
    from engine.worker import work

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    for talkative in ("apscheduler", "httpx"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    return work(arguments.directory, announce=lambda text: print(text, flush=True))
