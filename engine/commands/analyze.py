"""`antiphon analyze`: the statistics alone, on any data file. No workspace, no database."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from engine.core.errors import AntiphonError, UsageError
from experiments.analyze import ExperimentPlan, Method, analyze
from experiments.errors import ExperimentsError
from experiments.estimation.cuped import Adjust
from experiments.evidence.multiplicity import Correction
from experiments.metrics import Kind, Metric, Role
from experiments.readout import Readout

HELP = "compare the variants of an experiment in a CSV, JSONL or Parquet file"

_SPEC_KEYS = (
    "name", "kind", "column", "numerator", "denominator", "cap", "covariate", "missing", "better",
    "role", "title", "unit",
)  # fmt: skip

EXAMPLE = (
    "example:\n"
    '  antiphon analyze hillstrom.csv.gz --variant segment --control "No E-Mail" \\\n'
    "    --metric name=visit,kind=proportion --metric name=spend,covariate=history\n\n"
    f"a metric's SPEC is key=value,…; keys: {', '.join(_SPEC_KEYS)}.\n"
    "kind is proportion, mean (default) or ratio (numerator=, denominator=); cap=p99 limits\n"
    "values to that quantile of the non-zero ones; missing=zero reads empty cells as 0;\n"
    "covariate=a+b names columns measured before the experiment."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `antiphon analyze` understands."""
    parser.add_argument("data", metavar="DATA", type=Path, help="the file (.gz and .zst too)")
    parser.add_argument("--variant", required=True, metavar="COL", help="column of the variant")
    parser.add_argument("--control", required=True, metavar="VALUE", help="the control variant")
    parser.add_argument("--unit", metavar="COL", help="column of the unit's id; default: a row")
    parser.add_argument(
        "--metric", required=True, action="append", metavar="SPEC", help="repeat for several"
    )
    parser.add_argument("--covariate", metavar="COL", help="for every metric that names none")
    parser.add_argument("--adjust", choices=get_args(Adjust), default="lin", help="CUPED's form")
    parser.add_argument(
        "--method",
        choices=get_args(Method),
        default="fixed",
        help="fixed (default) and bayesian: read once, at the planned end; sequential: any time",
    )
    parser.add_argument(
        "--correction", choices=get_args(Correction), default="holm",
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
        readout = _readout(arguments)
        _show(readout, arguments)
    except (AntiphonError, ExperimentsError) as error:
        print(f"antiphon analyze: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


@dataclass(frozen=True)
class _Spec:
    metric: Metric
    zero_filled: bool


def _readout(arguments: argparse.Namespace) -> Readout:
    from engine.readout.datafile import sum_datafile
    from engine.readout.datafile_sums import missing_column

    specs = [_parsed(text, default_covariate=arguments.covariate) for text in arguments.metric]
    metrics = [spec.metric for spec in specs]
    sums = sum_datafile(
        arguments.data,
        variant=arguments.variant,
        unit=arguments.unit,
        metrics=metrics,
        zero_filled=frozenset(
            source for spec in specs if spec.zero_filled for source in spec.metric.sources
        ),
    )
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
            + tuple(map(missing_column, set(metric.covariates) & set(sums.covariates_with_gaps))),
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
    )
    return analyze(plan, sums.aggregates, notes=notes)


def _weights(arguments: argparse.Namespace, found: Sequence[str]) -> Mapping[str, int]:
    """Planned weights by variant, the control among them."""
    where = f'{arguments.data}: column "{arguments.variant}"'
    if arguments.control not in found:
        raise UsageError(
            f'{where} has no variant "{arguments.control}"; found {_list(found)}.'
            f"{_nearest(arguments.control, found)}"
        )
    if arguments.weights is None:
        if len(found) < 2:
            raise UsageError(f"{where} holds only {_list(found)}; there is nothing to compare with")
        return dict.fromkeys(found, 1)
    weights: dict[str, int] = {}
    for part in arguments.weights.split(","):
        name, equals, number = part.rpartition("=")
        if not equals or not number.strip().isdigit():
            raise UsageError(f'--weights: "{part}" is not VARIANT=WHOLE-NUMBER')
        weights[name.strip()] = int(number)
    for name in found:
        if name not in weights:
            raise UsageError(f'--weights: variant "{name}" of {where} is not named')
    return weights


def _parsed(text: str, *, default_covariate: str | None) -> _Spec:
    """A metric's SPEC."""
    given: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals and not given:
            key, value = "name", key  # `--metric visit` is short for `--metric name=visit`.
        if key not in _SPEC_KEYS:
            raise UsageError(
                f'--metric {text}: "{key}" is not a key; allowed are {", ".join(_SPEC_KEYS)}.'
                f"{_nearest(key, _SPEC_KEYS)}"
            )
        if key in given:
            raise UsageError(f'--metric {text}: "{key}" is given twice')
        if not value:
            raise UsageError(f'--metric {text}: "{key}" has no value')
        given[key] = value
    if "name" not in given:
        raise UsageError(f"--metric {text}: name= is missing")
    kind: Any = _one_of(text, given.get("kind", "mean"), "kind", get_args(Kind))
    role: Any = _one_of(text, given.get("role", "primary"), "role", get_args(Role))
    better: Any = _one_of(text, given.get("better", "higher"), "better", ("higher", "lower"))
    missing = _one_of(text, given.get("missing", "refuse"), "missing", ("refuse", "zero"))
    metric = Metric(
        name=given["name"],
        kind=kind,
        column=given.get("column"),
        numerator=given.get("numerator"),
        denominator=given.get("denominator"),
        cap_share=_cap(text, given["cap"]) if "cap" in given else None,
        better=better,
        role=role,
        title=given.get("title"),
        unit=given.get("unit"),
    )
    covariates = given.get("covariate", default_covariate)
    if covariates and not ("covariate" not in given and covariates in metric.sources):
        metric = replace(metric, covariates=tuple(covariates.split("+")))
    return _Spec(metric, zero_filled=missing == "zero")


def _one_of(text: str, value: str, key: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise UsageError(
            f"--metric {text}: {key}={value} is not known; allowed are {', '.join(allowed)}."
            f"{_nearest(value, allowed)}"
        )
    return value


def _cap(text: str, value: str) -> float:
    try:
        share = float(value.removeprefix("p")) / 100
    except ValueError:
        share = 0.0
    if not (value.startswith("p") and 0 < share < 1):
        raise UsageError(f"--metric {text}: cap={value} is not a percentile such as p99")
    return share


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
            shown = report.text(readout)
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


def _nearest(word: str, allowed: Sequence[str]) -> str:
    near = get_close_matches(word, allowed, n=1, cutoff=0.5)
    return f' Did you mean "{near[0]}"?' if near else ""
