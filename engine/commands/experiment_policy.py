"""`antiphon experiment policy`: what another allocation would have been worth."""

import argparse
import json
from pathlib import Path
from typing import Any


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
    parser.add_argument("--as-of", metavar="TIME", help="as it stood then; default now")
    parser.add_argument(
        "--format", choices=("text", "md", "json"), default="text", help="default text"
    )
    parser.add_argument("--json", action="store_true", help="the same as --format json")


def run_policy(arguments: argparse.Namespace) -> int:
    """Print what the policy is worth; 0 also where the log cannot tell."""
    from engine.opened import instant, opened
    from engine.readout.policy_log import judge_policy
    from engine.readout.studies import named, studies
    from engine.steady import present
    from experiments.reporting.policies import policy_json, policy_text

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
            )
    if arguments.json or arguments.format == "json":
        print(json.dumps({
            "experiment": study.name, "phase": study.phase, "policy": str(arguments.policy),
            **policy_json(found.judged, arms=found.arms, metric=found.metric.name),
        }, indent=2))  # fmt: skip
        return 0
    title = f"{arguments.policy.name} on {found.metric.title}, {study.name}"
    print(
        policy_text(found.judged, title=title, arms=found.arms, markdown=arguments.format == "md"),
        end="",
    )
    return 0
