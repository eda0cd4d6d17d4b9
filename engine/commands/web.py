"""`antiphon web`: API and pages without an engine; workers play and send."""

import argparse
from typing import Final

from engine.commands import serve

HELP: Final = "API and pages alone, where workers play and send (PostgreSQL)"
EXAMPLE: Final = "example: antiphon web shop --port 8321"

add_arguments = serve.add_arguments


def run(arguments: argparse.Namespace) -> int:
    """Answer until stopped; 0 after a clean stop."""
    return serve.run(arguments, plays=False)
