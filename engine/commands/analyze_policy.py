"""`antiphon analyze --policy`: what another allocation would have been worth, from a file's log."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import UsageError
from experiments.metrics import Metric

if TYPE_CHECKING:
    from engine.readout.policies import Policy
    from experiments.bandits.judging import Judged
    from experiments.bandits.off_policy import Logged
    from experiments.bandits.policy_contrasts import Contrast
    from experiments.sums.unit_sums import UnitRows

OF_UNITS = ("mean", "proportion", "count")
WEIGHTS_BY: Final = ("stable", "minimum", "contextual", "one_step")


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--policy", metavar="FILE",
        help="instead of comparing variants: what this policy (arms and rules by column, see"
        " docs/bandits.md) would have been worth; needs --weights or --propensity",
    )  # fmt: skip
    parser.add_argument(
        "--propensity", metavar="VARIANT=COL", action="append", default=[],
        help="of --policy: column of the chance that the variant had when the unit was drawn;"
        " one for each variant",
    )  # fmt: skip
    add_weights_by(parser)
    parser.add_argument(
        "--version", metavar="COL", dest="weights_version",
        help="of --weights-by: column of the version of the weights that drew the unit, in order",
    )  # fmt: skip
    parser.add_argument(
        "--context", metavar="COL", action="append", default=[],
        help="of --weights-by: column that the chances depended on; repeat for several",
    )  # fmt: skip


def add_weights_by(parser: argparse.ArgumentParser) -> None:
    """Declare what a bandit's log is weighed by, and what the policy is set against."""
    parser.add_argument(
        "--weights-by", choices=WEIGHTS_BY,
        help="of --policy, for the log of a bandit: also what it gains over another fixed policy,"
        " versions weighed so that the interval holds although chances followed outcomes; stable"
        " is the careful one",
    )  # fmt: skip
    parser.add_argument(
        "--against", type=Path, metavar="FILE",
        help="of --weights-by: the other policy; default: everybody gets the control",
    )  # fmt: skip


def run_policy(
    arguments: argparse.Namespace, metrics: Sequence[Metric], weights: Mapping[str, int]
) -> int:
    """Print what the policy is worth on each metric; 0 also where the log cannot tell.

    Args:
        weights: As `--weights` says; empty where it was not given.
    """
    from engine.readout.datafile import sum_datafile
    from engine.readout.datafile_layout import Layout
    from engine.readout.policies import read_policy
    from experiments.reporting.policies import (
        contrast_json,
        contrast_text,
        policy_json,
        policy_text,
    )

    _refuse_odd(arguments, metrics)
    columns = _propensities(arguments)
    if bool(columns) == bool(weights):
        raise UsageError(
            "--policy needs the chances by which units were drawn: --weights where they were the"
            " same for all, or --propensity VARIANT=COLUMN for each variant"
        )
    arms = tuple(columns or weights)
    policy = read_policy(Path(arguments.policy), arms=arms)
    other = _other(arguments, arms)
    # What decided, and what rules read: all of it is a context, and helps to guess outcomes.
    contexts = tuple(dict.fromkeys([*arguments.context, *policy.columns, *other.columns]))
    versions = list(filter(None, [arguments.weights_version]))
    beside = [*contexts, *columns.values(), *filter(None, [arguments.cluster]), *versions]
    plain = [replace(it, covariates=()) for it in metrics]
    taken = {arguments.variant, *(source for it in plain for source in it.sources)}
    for name in contexts:
        if name in taken:
            raise UsageError(f'--policy: "{name}" is what the log is about; rules need what was'
                             " known before")  # fmt: skip
    layout = Layout(
        variant=arguments.variant, unit=arguments.unit, unit_rows=arguments.unit_rows,
        # Units come one by one only where something of them is asked for.
        explored=tuple(dict.fromkeys(beside)) or (arguments.variant,),
    )  # fmt: skip
    sums = sum_datafile(arguments.data, layout=layout, metrics=plain, mend=arguments.repair)
    rows = sums.rows
    assert rows is not None
    shown: list[str] = []
    objects: list[dict[str, Any]] = []
    target = policy.chances(rows.known, arms=arms, n=len(rows.variant))
    chances = _chances(rows, arms, columns, weights)
    is_markdown = arguments.format == "md"
    for metric in plain:
        logged = _logged(arguments, rows, metric, arms, chances)
        found = _judged(arguments, rows, logged, target, policy.columns)
        title = f"{Path(arguments.policy).name} on {metric.label}"
        text = policy_text(found, title=title, arms=arms, markdown=is_markdown)
        told = policy_json(found, arms=arms, metric=metric.name)
        if arguments.weights_by:
            against = other.chances(rows.known, arms=arms, n=len(rows.variant))
            read = _contrast(arguments, rows, logged, target, against, contexts)
            text += contrast_text(read, markdown=is_markdown)
            told["contrast"] = contrast_json(read)
        shown.append(text)
        objects.append(told)
    if arguments.json or arguments.format == "json":
        text = json.dumps({"policy": arguments.policy, "metrics": objects}, indent=2) + "\n"
    else:
        text = "\n".join([*shown, *(f"- {note}" for note in sums.notes)]).rstrip() + "\n"
    if arguments.out is None:
        sys.stdout.write(text)
        return 0
    try:
        arguments.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{arguments.out}: cannot be written ({error.strerror})") from error
    print(arguments.out)
    return 0


def _other(arguments: argparse.Namespace, arms: Sequence[str]) -> "Policy":
    """What the policy is set against: a file, or the control for everybody."""
    from engine.readout.policies import Policy, read_policy

    if arguments.against is not None:
        return read_policy(arguments.against, arms=arms)
    if arguments.weights_by and arguments.control not in arms:
        raise UsageError(
            f"--control {arguments.control}: that is no arm; arms are {', '.join(arms)}. Name one,"
            " or a policy to be set against: --against FILE"
        )
    return Policy({arguments.control: 1.0}, ())


def _logged(
    arguments: argparse.Namespace,
    rows: "UnitRows",
    metric: Metric,
    arms: Sequence[str],
    chances: Any,
) -> "Logged":
    import numpy as np

    from experiments.bandits.off_policy import Logged

    place = {arm: i for i, arm in enumerate(arms)}
    strangers = sorted(set(np.unique(rows.variant).tolist()) - set(place))
    if strangers:
        raise UsageError(
            f'{arguments.data}: variant "{strangers[0]}" has no chance: name it in --weights or'
            f" --propensity; named are {', '.join(arms)}"
        )
    (source,) = metric.sources
    chosen = [place[name] for name in rows.variant.tolist()]
    return Logged.of(chosen, rows.outcomes[source], chances)


def _judged(
    arguments: argparse.Namespace,
    rows: "UnitRows",
    logged: "Logged",
    target: Any,
    columns: Sequence[str],
) -> "Judged":
    import numpy as np

    from experiments.bandits.judging import judged

    n = len(logged.chosen)
    return judged(
        logged, target, clusters=rows.known[arguments.cluster] if arguments.cluster else range(n),
        known={name: rows.known[name] for name in columns},
        rng=np.random.default_rng(1), alpha=arguments.alpha,
    )  # fmt: skip


def _contrast(
    arguments: argparse.Namespace,
    rows: "UnitRows",
    logged: "Logged",
    target: Any,
    against: Any,
    contexts: Sequence[str],
) -> "Contrast":
    from experiments.bandits.policy_contrasts import contrast

    version = rows.known[arguments.weights_version]
    is_text = version.dtype.kind in "US"
    n_without = int((version == "").sum() if is_text else (version != version).sum())
    if n_without:
        raise UsageError(
            f"--version {arguments.weights_version}: {n_without:,} units have none; every unit was"
            " drawn by one"
        )
    named = f"everybody {arguments.control}" if not arguments.against else arguments.against.name
    return contrast(
        logged, target, against=against, named=named, version=version,
        known={name: rows.known[name] for name in contexts},
        weights_by=arguments.weights_by, alpha=arguments.alpha,
    )  # fmt: skip


def _chances(
    rows: "UnitRows",
    arms: Sequence[str],
    columns: Mapping[str, str],
    weights: Mapping[str, int],
) -> Any:
    import numpy as np

    if not columns:
        given = np.array([weights[arm] for arm in arms], dtype=float)
        return np.tile(given / given.sum(), (len(rows.variant), 1))
    for arm, column in columns.items():
        values = rows.known[column]
        if values.dtype.kind in "US" or not np.isfinite(values).all():
            raise UsageError(
                f"--propensity {arm}={column}: the column has cells that are no number; every unit"
                " needs the chance that each variant had"
            )
    return np.column_stack([rows.known[columns[arm]] for arm in arms])


def _propensities(arguments: argparse.Namespace) -> dict[str, str]:
    found: dict[str, str] = {}
    for given in arguments.propensity:
        arm, equals, column = (piece.strip() for piece in given.partition("="))
        if not equals or not column:
            raise UsageError(f'--propensity: "{given}" is not VARIANT=COLUMN')
        found[arm] = column
    return found


def _refuse_odd(arguments: argparse.Namespace, metrics: Sequence[Metric]) -> None:
    if arguments.connection is not None:
        raise UsageError("--policy needs the units themselves: a data file, not a --connection")
    if arguments.format == "html":
        raise UsageError("--policy is shown as text, md or json")
    if arguments.weights_by is None:
        for name in ("weights_version", "context", "against"):
            if getattr(arguments, name):
                option = name.removeprefix("weights_")
                raise UsageError(f"--{option} belongs to --weights-by, which says how to weigh")
    elif arguments.weights_version is None:
        raise UsageError(
            "--weights-by needs --version, the column that says which version of the weights drew"
            " a unit: without versions nothing tells what was known when"
        )
    elif not arguments.propensity:
        raise UsageError(
            "--weights-by is for chances that moved: give them by --propensity VARIANT=COLUMN."
            " Under --weights, the same for all, nothing adapted"
        )
    elif arguments.cluster:
        raise UsageError(
            "--weights-by takes each unit as independent, and --cluster says they are not; give"
            " one of them"
        )
    for metric in metrics:
        if metric.kind not in OF_UNITS:
            raise UsageError(
                f"--policy: {metric.name} is a {metric.kind}, of which a unit has no number of its"
                f" own; allowed are {', '.join(OF_UNITS)}"
            )
