"""`antiphon experiment policy`: what another allocation would have been worth."""

import argparse
import json
from pathlib import Path
from typing import Any

from engine.commands.analyze_policy import add_weights_by
from engine.core.errors import UsageError


def add_policy(actions: Any) -> None:
    """Declare it."""
    parser = actions.add_parser(
        "policy", help="what another allocation would have been worth, by this experiment's log"
    )
    parser.add_argument("name", metavar="NAME", help="an experiment or a campaign's holdout")
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument(
        "--policy", type=Path, required=True, metavar="FILE",
        help="arms and rules by traits.NAME, see docs/bandits.md",
    )  # fmt: skip
    add_weights_by(parser)
    parser.add_argument("--as-of", metavar="TIME", help="as it stood then; default now")
    parser.add_argument(
        "--format", choices=("text", "md", "json"), default="text", help="default text"
    )
    parser.add_argument("--json", action="store_true", help="the same as --format json")


def run_policy(arguments: argparse.Namespace) -> int:
    """Print what the policy is worth; 0 also where the log cannot tell."""
    from engine.opened import instant, opened
    from engine.readout.policy_log import Weighing, judge_policy
    from engine.readout.studies import named, studies
    from engine.steady import present
    from experiments.reporting.policies import (
        contrast_json,
        contrast_text,
        policy_json,
        policy_text,
    )

    if arguments.against is not None and arguments.weights_by is None:
        raise UsageError("--against belongs to --weights-by, which says how to weigh")
    weighing = Weighing(arguments.weights_by, arguments.against) if arguments.weights_by else None
    as_of = instant(arguments.as_of, default=present())
    with opened(arguments.directory, read_only=True) as it:
        playbook = it.playbook()
        (study, *_) = named(studies(playbook.program, playbook.workspace), arguments.name)
        with it.database.read() as connection:
            found = judge_policy(
                connection,
                study,
                arguments.policy,
                as_of=as_of,
                experiment=playbook.program.experiments.get((study.name, study.phase)),
                weighing=weighing,
            )
    weighed = found.contrast
    if arguments.json or arguments.format == "json":
        print(json.dumps({
            "experiment": study.name, "phase": study.phase, "policy": str(arguments.policy),
            **policy_json(found.judged, arms=found.arms, metric=found.metric.name),
            **({} if weighed is None else {"contrast": contrast_json(weighed)}),
        }, indent=2))  # fmt: skip
        return 0
    title = f"{arguments.policy.name} on {found.metric.title}, {study.name}"
    is_markdown = arguments.format == "md"
    text = policy_text(found.judged, title=title, arms=found.arms, markdown=is_markdown)
    if weighed is not None:
        text += contrast_text(weighed, markdown=is_markdown)
    print(text, end="")
    return 0
