"""`antiphon experiment caps`: what each limit of a cap's trial is worth, and which to take."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from engine.core.errors import UsageError

SEED: Final = 1
"""Of the folds: the same data get the same answer."""
MARGIN: Final = "0.5%"


def add_caps(actions: Any) -> None:
    """Declare the command line."""
    caps = actions.add_parser("caps", help="which limit of a cap that tries several is worth most")
    caps.add_argument("name", metavar="NAME", help="the cap's name in antiphon.yaml")
    caps.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    caps.add_argument(
        "--metric", metavar="NAME", default="",
        help="what a limit is to bring; default: the first that the cap is judged by",
    )  # fmt: skip
    caps.add_argument(
        "--value", type=float, metavar="MONEY",
        help="what one of the metric is worth; a sum of money is 1 if not given",
    )  # fmt: skip
    caps.add_argument(
        "--unsubscribe-cost", type=float, default=0.0, metavar="MONEY",
        help="what is lost with somebody who unsubscribes or complains; default 0",
    )  # fmt: skip
    caps.add_argument(
        "--send-cost", type=float, default=0.0, metavar="MONEY",
        help="what one message costs; default 0",
    )  # fmt: skip
    caps.add_argument(
        "--by", metavar="SEGMENT", action="append", default=[],
        help="a segment that may get a limit of its own; repeat for several, the first counts",
    )  # fmt: skip
    caps.add_argument(
        "--margin", metavar="SHARE", default=MARGIN,
        help="points of unsubscribes below which a rise is tolerated; default 0.5%%",
    )  # fmt: skip
    caps.add_argument("--as-of", metavar="TIME", help="as it stood then; default now")
    caps.add_argument("--json", action="store_true", help="print one JSON object")


def run_caps(arguments: argparse.Namespace) -> int:
    """0 when there is an answer; 2 with a clear line when there cannot be one."""
    import numpy as np

    from campaigns.durations import parse_share
    from campaigns.metrics import compile_metrics
    from campaigns.reading import Text
    from engine.learning.frequency import Worth, choose
    from engine.learning.refusals import Refused
    from engine.opened import instant, opened
    from engine.readout.cap_trials import cap_of, curves_of, metric_of, trial_of
    from engine.readout.cap_words import cap_json, cap_text
    from engine.readout.studies import named, studies
    from engine.steady import present
    from experiments.errors import PlanError
    from experiments.evidence.equivalence import Margin

    as_of = instant(arguments.as_of, default=present())
    try:
        margin = Margin(parse_share(Text(arguments.margin)))
    except (ValueError, PlanError) as error:
        raise UsageError(f"--margin {arguments.margin}: {error}. Write a share, as 0.5%") from error
    with opened(arguments.directory, read_only=True) as it:
        playbook = it.playbook()
        program = playbook.program
        study, *_ = named(studies(program, playbook.workspace), arguments.name)
        cap_of(study, program)
        metric = metric_of(study, compile_metrics(playbook.workspace), arguments.metric)
        if arguments.value is None and metric.measure != "sum":
            raise UsageError(
                f'"{metric.name}" is no money: say what one of it is worth, as --value 12'
            )
        try:
            worth = Worth(
                1.0 if arguments.value is None else arguments.value,
                arguments.unsubscribe_cost,
                arguments.send_cost,
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
        try:
            with it.database.read() as connection:
                trial = trial_of(connection, study, program, metric, by=arguments.by, as_of=as_of)
            chosen = choose(
                trial.doses, worth, today=trial.today, margin=margin, alpha=study.alpha,
                rng=np.random.default_rng(SEED),
            )  # fmt: skip
            curves = curves_of(trial, worth, alpha=study.alpha)
        except Refused as refused:
            raise UsageError(f'"{study.name}" cannot be read yet: {refused}') from refused
    if arguments.json:
        print(json.dumps(cap_json(trial, curves, chosen, as_of=as_of), allow_nan=False))
    else:
        sys.stdout.write(cap_text(trial, curves, chosen, as_of=as_of))
    return 0
