"""`antiphon schema`: the JSON Schema of the campaign language, or of an experiment's readout."""

import argparse
import json
import sys
from typing import Any, Final

from campaigns.schema import json_schema

HELP: Final = "print the JSON Schema of the campaign language, or of a readout"
EXAMPLE: Final = """\
example: antiphon schema > schema.json
         antiphon schema --of readout > readout.schema.json
then, as the first line of each file of a folder, for editors that read it:
# yaml-language-server: $schema=../schema.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "--of", choices=("language", "readout"), default="language",
        help="language (default): files of a workspace; readout: `experiment report --json`",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print the schema of any one file of a workspace, or of a readout; always exit code 0."""
    json.dump(_schema(arguments.of), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0


def _schema(of: str) -> dict[str, Any]:
    if of == "language":
        return json_schema()
    from engine.readout.reports import report_schema

    return report_schema()
