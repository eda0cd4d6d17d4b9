"""What a cap's trial says, as text and as JSON: each limit's worth, then which to take."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from engine.core.clocktime import iso
from engine.core.model.instants import DAY, Instant
from engine.readout.cap_trials import Trial
from experiments.evidence.compare import Interval

if TYPE_CHECKING:
    from engine.learning.frequency import Chosen, Curve


def cap_text(
    trial: Trial, curves: "Mapping[str, Curve | str]", chosen: "Chosen", *, as_of: Instant
) -> str:
    """The whole finding, a line a sentence."""
    it = trial
    days = f"{it.window / DAY:g} days"
    lines = [
        f"{it.cap.name}: at most {', '.join(map(str, it.cap.tries))}, drawn by lot; today's is "
        f"{it.today}",
        f"{it.doses.n:,} people by {it.metric.name}, each over the {days} from when the cap was "
        f"first asked about them; read as of {iso(as_of)}.",
    ]
    if it.n_waiting:
        lines.append(f"{it.n_waiting:,} more wait for their {days} to be over.")
    for name, found in curves.items():
        lines += ["", name]
        lines += [f"  {line}" for line in _curve_lines(found)]
    lines += ["", chosen.why]
    if chosen.way != "today":
        lines += [f"  {name}: at most {dose}" for name, dose in chosen.doses.items()]
    lines += [
        f"Unsubscribes, {_WAYS[name]} against today's: {guard.word.value} ({guard.rule})."
        for name, guard in chosen.guardrails.items()
    ]
    return "\n".join(lines) + "\n"


_WAYS = {"one": "one cap for all", "by_segment": "caps by segment"}


def cap_json(
    trial: Trial, curves: "Mapping[str, Curve | str]", chosen: "Chosen", *, as_of: Instant
) -> dict[str, Any]:
    """The same for machines; `form` names this shape."""
    return {
        "form": "antiphon/caps/1",
        "name": trial.cap.name,
        "as_of": iso(as_of),
        "metric": trial.metric.name,
        "window_days": trial.window / DAY,
        "limits": list(trial.cap.tries),
        "today": trial.today,
        "n": trial.doses.n,
        "n_waiting": trial.n_waiting,
        "segments": {name: _curve_json(found) for name, found in curves.items()},
        "choice": {
            "way": chosen.way,
            "why": chosen.why,
            "limits": dict(chosen.doses),
            "gains": {name: _interval(it) for name, it in chosen.gains.items()},
            "guardrails": {
                name: {"word": it.word.value, "rule": it.rule}
                for name, it in chosen.guardrails.items()
            },
        },
    }


def _curve_lines(found: "Curve | str") -> Iterable[str]:
    if isinstance(found, str):
        yield f"nothing can be said: {found}."
        return
    for point, words in zip(found.points, found.words(), strict=True):
        yield f"{words}; {point.outcome:.4g} of the metric and {point.sends:.3g} messages each"
    if found.peak is not None:
        yield f"a curve through them has its top near {found.peak:.2g}: a hint for the next trial"


def _curve_json(found: "Curve | str") -> dict[str, Any]:
    if isinstance(found, str):
        return {"why_not": found}
    return {
        "limits": [
            {
                "limit": it.dose,
                "n": it.n,
                "outcome": it.outcome,
                "unsubscribed": it.unsubscribed,
                "sends": it.sends,
                "gain": _interval(it.gain),
                "fitted": it.fitted,
            }
            for it in found.points
        ],
        "peak": found.peak,
    }


def _interval(it: Interval) -> dict[str, float | None]:
    return {"estimate": it.estimate, "low": it.ci_lower, "high": it.ci_upper}
