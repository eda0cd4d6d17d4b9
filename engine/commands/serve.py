"""`antiphon serve`: the whole engine in one process."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

HELP: Final = "everything in one process: API, pages, engine, scheduler"
EXAMPLE: Final = "example: antiphon serve shop --port 8321"
PORT: Final = 8321


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}; 0 = any free one")
    parser.add_argument(
        "--open",
        action="store_true",
        help="show the pages without the token of the printed link, to whoever reaches them",
    )


def run(arguments: argparse.Namespace, *, plays: bool = True) -> int:
    """Serve until stopped; 0 after a clean stop. Without `plays` this is `antiphon web`."""
    from engine.serve import serve

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    for talkative in ("apscheduler", "alembic", "uvicorn", "httpx"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    return serve(
        arguments.directory,
        host=arguments.host,
        port=arguments.port,
        is_open=arguments.open,
        announce=lambda text: print(text, flush=True),
        plays=plays,
    )
