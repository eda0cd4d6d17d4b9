"""`antiphon analyze`: the statistics alone, on any data file. No workspace, no database."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import get_terminal_size
from typing import get_args

from engine.commands.analyze_columns import (
    explored_columns,
    measured_at,
    named_weights,
    predicting_columns,
)
from engine.commands.analyze_policy import add_policy, run_policy
from engine.commands.analyze_switchback import DESIGNED, add_switchback, run_switchback
from engine.core.errors import AntiphonError, UsageError
from engine.readout.metric_spec import KEYS, Spec, nearest, parsed
from experiments.analysis.analyze import ExperimentPlan, Method, analyze
from experiments.analysis.collected import from_unit_sums
from experiments.analysis.readout import Readout
from experiments.errors import ExperimentsError
from experiments.estimation.cuped import Adjust
from experiments.evidence.families import PrimaryCorrection
from experiments.evidence.spending import Kind as SpendingKind
from experiments.metrics import Metric
from experiments.programme.honest_tree import HonestTree
from experiments.sums.unit_sums import UnitRows, UnitSums

HELP = "compare the variants of an experiment in a CSV, JSONL or Parquet file"

EXAMPLE = (
    "example:\n"
    '  antiphon analyze hillstrom.csv.gz --variant segment --control "No E-Mail" \\\n'
    "    --metric name=visit,kind=proportion --metric name=spend,covariate=history\n\n"
    f"a metric's SPEC is key=value,…; keys: {', '.join(KEYS)}.\n"
    "kind is mean (default), proportion (0 or 1), count (0, 1, 2, …), ratio (numerator=,\n"
    "denominator=) or quantile (q=0.9); cap=p99 limits values to that quantile of the non-zero\n"
    "ones; missing=zero reads empty cells as 0; money=EUR names the unit and refuses values\n"
    "below 0 (negative=allow lets them in); covariate=a+b names columns measured before the\n"
    "experiment; sql=FILE is a metric's query, yielding unit and value, for --connection."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `antiphon analyze` understands."""
    parser.add_argument("data", metavar="DATA", type=Path, help="the file (.gz and .zst too)")
    parser.add_argument("--variant", required=True, metavar="COL", help="column of the variant")
    parser.add_argument("--control", required=True, metavar="VALUE", help="the control variant")
    parser.add_argument("--unit", metavar="COL", help="column of the unit's id; default: a row")
    parser.add_argument(
        "--unit-rows",
        choices=("once", "sum"),
        default="once",
        help="several rows of a unit: once (default) refuses different ones, sum adds them up",
    )
    parser.add_argument(
        "--metric", required=True, action="append", metavar="SPEC", help="repeat for several"
    )
    parser.add_argument("--covariate", metavar="COL", help="for every metric that names none")
    parser.add_argument(
        "--stratum", metavar="COL", help="column to post-stratify by, known before the experiment"
    )
    parser.add_argument(
        "--dimension", metavar="COL", action="append", default=[],
        help="column to compare segments by; repeat for several",
    )  # fmt: skip
    parser.add_argument(
        "--explore", metavar="COL", action="append", default=[],
        help="column among which a tree may look for units with other effects, known before the"
        " experiment; repeat for several. What it finds is a hint, never a result",
    )  # fmt: skip
    parser.add_argument(
        "--cupac", metavar="COL,…",
        help="columns known before the experiment, numbers or texts: a model that never saw the"
        " unit predicts its outcomes from them, and the prediction is a covariate",
    )  # fmt: skip
    parser.add_argument(
        "--cluster", metavar="COL", help="column of what was randomized, if more than a unit"
    )
    parser.add_argument(
        "--received", metavar="COL", help="column of what a unit in truth received, to count"
    )
    parser.add_argument(
        "--repair", action="store_true", help="read a damaged CSV as far as it can be, and say so"
    )
    parser.add_argument(
        "--connection",
        metavar="URL",
        help="a warehouse (sqlite:///FILE, duckdb:///FILE, postgresql://…, or env:NAME); DATA is"
        " then an SQL file of who is in which variant, and each metric has sql=FILE",
    )
    add_policy(parser)
    add_switchback(parser)
    parser.add_argument("--exposed-at", metavar="COL", help="column of the unit's exposure")
    parser.add_argument(
        "--measured-at",
        metavar="COVARIATE=COL",
        action="append",
        default=[],
        help="column of when a covariate was measured: refused if after --exposed-at",
    )
    parser.add_argument("--adjust", choices=get_args(Adjust), default="lin", help="CUPED's form")
    parser.add_argument(
        "--method",
        choices=get_args(Method),
        default="fixed",
        help="fixed (default) and bayesian: read once, at the planned end; sequential: any time;"
        " group_sequential: at --looks",
    )
    parser.add_argument(
        "--looks",
        metavar="SHARE,…",
        help="of group_sequential: shares of the planned sample at which one looks, such as"
        " 0.25,0.5,1",
    )
    parser.add_argument(
        "--spending", choices=get_args(SpendingKind), default="obrien_fleming",
        help="of group_sequential; default obrien_fleming",
    )  # fmt: skip
    parser.add_argument(
        "--spending-parameter", type=float, metavar="X", help="of spending power or hsd"
    )
    parser.add_argument(
        "--correction", choices=get_args(PrimaryCorrection), default="holm",
        help="for several comparisons; default holm",
    )  # fmt: skip
    parser.add_argument("--alpha", type=float, default=0.05, help="default 0.05")
    parser.add_argument(
        "--weights", metavar="V=N,…", help="planned weights; default: equal for all variants"
    )
    parser.add_argument(
        "--planned-sample", type=int, metavar="N", help="units in all, for the sequential method"
    )
    parser.add_argument(
        "--smallest-lift", type=float, metavar="SHARE", help="smallest relative lift that matters"
    )
    parser.add_argument(
        "--format", choices=("text", "html", "md", "json"), default="text", help="default text"
    )
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there, not to the terminal")


def run(arguments: argparse.Namespace) -> int:
    """Carry out `antiphon analyze`; 0, or 2 with one line on stderr."""
    try:
        if arguments.policy is not None:
            specs = [parsed(text) for text in arguments.metric]
            return run_policy(
                arguments, [it.metric for it in specs], named_weights(arguments.weights)
            )
        if arguments.switchback is not None:
            specs = [parsed(text) for text in arguments.metric]
            return run_switchback(arguments, [it.metric for it in specs], show=_show)
        for name in DESIGNED:
            if getattr(arguments, name):
                raise UsageError(f"--{name.replace('_', '-')} belongs to --switchback")
        for name in ("propensity", "weights_by", "weights_version", "context", "against"):
            if getattr(arguments, name):
                option = name.removeprefix("weights_" if name == "weights_version" else "")
                raise UsageError(
                    f"--{option.replace('_', '-')} belongs to --policy, a policy to be judged by"
                    " the log"
                )
        readout = _readout(arguments)
        _show(readout, arguments)
    except (AntiphonError, ExperimentsError) as error:
        print(f"antiphon analyze: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _readout(arguments: argparse.Namespace) -> Readout:
    from engine.readout.datafile import sum_datafile
    from engine.readout.datafile_layout import Layout
    from engine.readout.datafile_predicting import predicted_metrics

    specs = [parsed(text, default_covariate=arguments.covariate) for text in arguments.metric]
    metrics = [spec.metric for spec in specs]
    if arguments.connection is not None:
        return _of_warehouse(arguments, specs)
    if any(spec.sql for spec in specs):
        raise UsageError("a metric with sql= needs --connection, the warehouse it is asked of")
    predicting = predicting_columns(arguments, metrics)
    sums = sum_datafile(
        arguments.data,
        layout=Layout(
            variant=arguments.variant,
            unit=arguments.unit,
            unit_rows=arguments.unit_rows,
            zero_filled=frozenset(
                source for spec in specs if spec.zero_filled for source in spec.metric.sources
            ),
            stratum=arguments.stratum,
            dimensions=tuple(arguments.dimension),
            cluster=arguments.cluster,
            explored=explored_columns(arguments, metrics),
            predicting=predicting,
            received=arguments.received,
            exposed_at=arguments.exposed_at,
            measured_at=measured_at(arguments, metrics, predicting),
        ),
        metrics=metrics,
        mend=arguments.repair,
    )
    return _analyzed(arguments, sums, predicted_metrics(metrics) if predicting else metrics)


def _analyzed(arguments: argparse.Namespace, sums: UnitSums, metrics: Sequence[Metric]) -> Readout:
    """Sums by the plan that the arguments make."""
    from engine.readout.collecting import engine_version
    from experiments.sums.unit_sums import missing_column

    found = list(sums.aggregates)
    weights = _weights(arguments, found)
    notes = list(sums.notes)
    planned = arguments.planned_sample
    if arguments.method == "sequential" and planned is None:
        planned = sum(part.n for part in sums.aggregates.values())
        notes.append(
            f"no --planned-sample was given: {planned:,}, the units in the file, was taken, which"
            " is valid only if that was the plan"
        )
    if arguments.method == "fixed":
        notes.append(
            "the fixed method is valid once, at the planned end; to look earlier use sequential"
        )
    filled = [
        replace(
            metric,
            covariates=metric.covariates
            + tuple(
                missing_column(it) for it in metric.covariates if it in sums.covariates_with_gaps
            ),
        )
        for metric in metrics
    ]
    plan = ExperimentPlan(
        name=arguments.data.name,
        control=arguments.control,
        weights=weights,
        metrics=filled,
        method=arguments.method,
        alpha=arguments.alpha,
        adjust=arguments.adjust,
        correction=arguments.correction,
        planned_sample=planned,
        smallest_lift=arguments.smallest_lift,
        looks=_looks(arguments.looks),
        spending=arguments.spending,
        spending_parameter=arguments.spending_parameter,
    )
    collected = from_unit_sums(sums, engine_version=engine_version())
    if sums.rows is not None:
        collected = replace(collected, trees=_trees(plan, sums.rows))
    if sums.few_clusters:
        collected = replace(collected, randomized=_randomized(plan, sums))
    return analyze(plan, sums.aggregates, notes=notes, collected=collected)


def _trees(plan: ExperimentPlan, rows: UnitRows) -> Mapping[str, HonestTree]:
    """A search among the units; always by the same lots, so that a report can be repeated."""
    import numpy as np

    from experiments.analysis.exploring import trees

    return trees(plan, rows, rng=np.random.default_rng(1))


def _randomized(plan: ExperimentPlan, sums: UnitSums) -> Mapping[tuple[str, str], float]:
    """Few clusters assigned anew; always by the same lots."""
    import numpy as np

    from experiments.analysis.few_clusters import randomized

    return randomized(plan, sums.few_clusters, rng=np.random.default_rng(1))


def _looks(given: str | None) -> tuple[float, ...]:
    """Shares of the planned sample, as written."""
    if given is None:
        return ()
    try:
        return tuple(float(part) for part in given.split(","))
    except ValueError:
        raise UsageError(f"--looks {given}: write shares such as 0.25,0.5,1") from None


def _of_warehouse(arguments: argparse.Namespace, specs: Sequence[Spec]) -> Readout:
    """The same from a database, of which only sums leave."""
    if arguments.cupac is not None:
        raise UsageError("--cupac needs the units themselves: a data file, not a --connection")
    if arguments.explore:
        raise UsageError("--explore needs the units themselves: a data file, not a --connection")
    from engine.readout.warehouse import Asked, sum_warehouse

    asked = []
    for spec in specs:
        if spec.sql is None:
            raise UsageError(f"--metric {spec.metric.name}: with --connection it needs sql=FILE")
        asked.append(Asked(spec.metric, arguments.data.parent / spec.sql))
    sums, metrics = sum_warehouse(
        arguments.connection,
        assignment=arguments.data,
        unit=arguments.unit or "unit",
        variant=arguments.variant,
        stratum=arguments.stratum,
        asked=asked,
    )
    return _analyzed(arguments, sums, metrics)


def _weights(arguments: argparse.Namespace, found: Sequence[str]) -> Mapping[str, int]:
    """Planned weights by variant, the control among them."""
    where = f'{arguments.data}: column "{arguments.variant}"'
    if arguments.control not in found:
        raise UsageError(
            f'{where} has no variant "{arguments.control}"; found {_list(found)}.'
            f"{nearest(arguments.control, found)}"
        )
    if arguments.weights is None:
        if len(found) < 2:
            raise UsageError(f"{where} holds only {_list(found)}; there is nothing to compare with")
        return dict.fromkeys(found, 1)
    weights = named_weights(arguments.weights)
    for name in found:
        if name not in weights:
            raise UsageError(f'--weights: variant "{name}" of {where} is not named')
    return weights


def _show(readout: Readout, arguments: argparse.Namespace) -> None:
    from experiments.reporting import report

    form = "json" if arguments.json else arguments.format
    match form:
        case "json":
            shown = json.dumps(report.as_json(readout), indent=2, allow_nan=False) + "\n"
        case "md":
            shown = report.markdown(readout)
        case "html":
            section = report.Section(readout=readout, kind="data file")
            shown = report.html([section], title=f"Experiment: {readout.name}")
        case _:
            is_seen = arguments.out is None and sys.stdout.isatty()
            shown = report.text(
                readout,
                width=get_terminal_size().columns if is_seen else None,
                colour=is_seen and not os.environ.get("NO_COLOR"),
            )
    out: Path | None = arguments.out
    if out is None and form == "html":
        stem = arguments.data.name.split(".")[0]
        out = Path(f"{stem}.report.html")
    if out is None:
        sys.stdout.write(shown)
        return
    try:
        out.write_text(shown, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror})") from error
    print(out)


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
