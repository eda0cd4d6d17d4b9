"""The SPEC of `antiphon analyze --metric`: key=value,… into a `Metric`."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, get_args

from engine.core.errors import UsageError
from experiments.metrics import Kind, Metric, Role

KEYS: Final = (
    "name", "kind", "column", "numerator", "denominator", "q", "cap", "covariate", "missing",
    "money", "negative", "sql", "better", "role", "title", "unit",
)  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """A metric, whether an empty cell of its outcome means 0, and the file of its query."""

    metric: Metric
    zero_filled: bool
    sql: str | None = None


def parsed(text: str, *, default_covariate: str | None = None) -> Spec:
    """A metric's SPEC.

    Args:
        default_covariate: For a metric that names none and can have one.
    Raises:
        UsageError: Naming what was found and what is allowed.
    """
    given = _given(text)
    kind: Any = _one_of(text, given.get("kind", "mean"), "kind", get_args(Kind))
    role: Any = _one_of(text, given.get("role", "primary"), "role", get_args(Role))
    better: Any = _one_of(text, given.get("better", "higher"), "better", ("higher", "lower"))
    missing = _one_of(text, given.get("missing", "refuse"), "missing", ("refuse", "zero"))
    # Money that was paid is not negative; what is paid back has a column of its own.
    strict = "refuse" if "money" in given else "allow"
    negative: Any = _one_of(text, given.get("negative", strict), "negative", ("allow", "refuse"))
    metric = Metric(
        name=given["name"],
        kind=kind,
        column=given.get("column"),
        numerator=given.get("numerator"),
        denominator=given.get("denominator"),
        covariates=tuple(given["covariate"].split("+")) if "covariate" in given else (),
        cap_share=_percentile(text, given["cap"]) if "cap" in given else None,
        q=_share(text, given["q"]) if "q" in given else None,
        negative=negative,
        better=better,
        role=role,
        title=given.get("title"),
        unit=given.get("unit", given.get("money")),
    )
    if default_covariate and "covariate" not in given:
        metric = _with_default(metric, tuple(default_covariate.split("+")))
    return Spec(metric, zero_filled=missing == "zero", sql=given.get("sql"))


def nearest(word: str, allowed: Sequence[str]) -> str:
    """A suggestion to append to a message, or nothing."""
    near = get_close_matches(word, allowed, n=1, cutoff=0.5)
    return f' Did you mean "{near[0]}"?' if near else ""


def _given(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals and not given:
            key, value = "name", key  # `--metric visit` is short for `--metric name=visit`.
        if key not in KEYS:
            raise UsageError(
                f'--metric {text}: "{key}" is not a key; allowed are {", ".join(KEYS)}.'
                f"{nearest(key, KEYS)}"
            )
        if key in given:
            raise UsageError(f'--metric {text}: "{key}" is given twice')
        if not value:
            raise UsageError(f'--metric {text}: "{key}" has no value')
        given[key] = value
    if "name" not in given:
        raise UsageError(f"--metric {text}: name= is missing")
    return given


def _with_default(metric: Metric, covariates: tuple[str, ...]) -> Metric:
    from dataclasses import replace

    if metric.kind == "quantile" or set(covariates) & set(metric.sources):
        return metric
    return replace(metric, covariates=covariates)


def _one_of(text: str, value: str, key: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise UsageError(
            f"--metric {text}: {key}={value} is not known; allowed are {', '.join(allowed)}."
            f"{nearest(value, allowed)}"
        )
    return value


def _percentile(text: str, value: str) -> float:
    try:
        share = float(value.removeprefix("p")) / 100
    except ValueError:
        share = 0.0
    if not (value.startswith("p") and 0 < share < 1):
        raise UsageError(f"--metric {text}: cap={value} is not a percentile such as p99")
    return share


def _share(text: str, value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UsageError(f"--metric {text}: q={value} is not a share between 0 and 1, such as 0.9")
    return share
