"""`antiphon schema`: the JSON Schema of the campaign language, for editors and checkers."""

import argparse
import json
import sys
from typing import Final

from campaigns.schema import json_schema

HELP: Final = "print the JSON Schema of the campaign language"
EXAMPLE: Final = """\
example: antiphon schema > schema.json
then, as the first line of each file of a folder, for editors that read it:
# yaml-language-server: $schema=../schema.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line: there is nothing to choose."""


def run(arguments: argparse.Namespace) -> int:
    """Print the schema of any one file of a workspace; always exit code 0."""
    json.dump(json_schema(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0
