"""`antiphon experiment programme` and `interactions`: many experiments together."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def add_programme(actions: Any) -> None:
    """Declare both."""
    whole = actions.add_parser(
        "programme", help="what everything was worth, beside the sum of its parts"
    )
    pairs = actions.add_parser(
        "interactions", help="pairs of experiments that change each other's effect"
    )
    for parser, metric in (
        (whole, "one that adds up over people; default: the global holdout's first"),
        (pairs, "for every pair; default: the primary metrics of both"),
    ):
        parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
        parser.add_argument("--metric", metavar="NAME", help=metric)
        parser.add_argument("--as-of", metavar="TIME", help="as it stood then; default now")
        parser.add_argument("--alpha", type=_alpha, default=0.05, help="default 0.05")
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_programme(arguments: argparse.Namespace) -> int:
    """Print measured against the sum of parts."""
    from campaigns.metrics import compile_metrics
    from engine.opened import instant, opened
    from engine.readout.programme import chosen_metric, programme_findings
    from engine.readout.programme_words import programme_json, programme_text
    from engine.readout.studies import studies
    from engine.steady import present

    as_of = instant(arguments.as_of, default=present())
    with opened(arguments.directory, read_only=True) as it:
        playbook = it.playbook()
        known = compile_metrics(playbook.workspace)
        listed = studies(playbook.program, playbook.workspace)
        definition = chosen_metric(listed, known, arguments.metric)
        with it.database.read() as connection:
            found = programme_findings(
                connection, listed, playbook.program, definition, as_of=as_of,
                alpha=arguments.alpha,
            )  # fmt: skip
    if arguments.json:
        print(json.dumps(programme_json(found), allow_nan=False))
    else:
        sys.stdout.write(programme_text(found))
    return 0


def run_interactions(arguments: argparse.Namespace) -> int:
    """Print the scan of all pairs."""
    from campaigns.metrics import compile_metrics
    from engine.opened import instant, opened
    from engine.readout.overlaps import interaction_findings
    from engine.readout.programme import chosen_metric
    from engine.readout.programme_words import interactions_json, interactions_text
    from engine.readout.studies import studies
    from engine.steady import present

    as_of = instant(arguments.as_of, default=present())
    with opened(arguments.directory, read_only=True) as it:
        playbook = it.playbook()
        listed = studies(playbook.program, playbook.workspace)
        definition = None
        if arguments.metric is not None:
            known = compile_metrics(playbook.workspace)
            definition = chosen_metric(listed, known, arguments.metric)
        with it.database.read() as connection:
            found = interaction_findings(
                connection,
                listed,
                as_of=as_of,
                definition=definition,
                alpha=arguments.alpha,
            )
    if arguments.json:
        print(json.dumps(interactions_json(found), allow_nan=False))
    else:
        sys.stdout.write(interactions_text(found, alpha=arguments.alpha))
    return 0


def _alpha(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
