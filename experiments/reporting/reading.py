"""How it was read: the rules and which one fired, the plan and what changed since, the notes."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from experiments.analysis.decision import RULES, Decision
from experiments.analysis.readout import Readout
from experiments.metrics import Metric
from experiments.reporting.markup import chip, folded, panel, paragraph, table
from experiments.reporting.words import all_notes, number, percent

DIGEST_SHOWN = 12
_FAMILIES = ("primary", "secondary", "guardrails")


def rules(decision: Decision | None) -> str:
    """The table of rules; the first that applied decided."""
    if decision is None:
        return ""
    rows = [
        [
            str(place),
            escape(rule.when),
            escape(rule.choice.value),
            chip("this one", "open") if rule.name == decision.rule else "",
        ]
        for place, rule in enumerate(RULES, start=1)
    ]
    listed = table(
        ["", "If", "then", "Applied"],
        rows,
        raw=True,
        numeric=[True, False, False, False],
        caption="In this order; the first that applies decides.",
    )
    place = next(i for i, rule in enumerate(RULES, start=1) if rule.name == decision.rule)
    said = f"Rule {place} of {len(RULES)} applied: {RULES[place - 1].when}."
    return panel("Why this decision", paragraph(said), folded("All rules, in order", listed))


def plan(readout: Readout) -> str:
    """The frozen plan, its hash, and what the files have said otherwise since."""
    record = readout.plan
    if record is None:
        return ""
    settings = planned(record.content)
    state = "frozen when the experiment started" if record.is_frozen else "not frozen: today's"
    head = (
        f'<p class="said-of">{chip(state.split(":")[0], "good" if record.is_frozen else "open")}'
        f"<span>sha256 <code>{escape(record.digest[:DIGEST_SHOWN])}</code>"
        f"{'' if record.is_frozen else '. No plan was kept, so the files as they are were read.'}"
        "</span></p>"
    )
    listed = table(["Planned", ""], settings, numeric=[False, False])
    changed = ""
    if record.changes:
        rows = [
            [it.what, it.frozen, it.now, "exploratory" if it.is_used else "not followed"]
            for it in record.changes
        ]
        changed = paragraph(
            "The files have changed since. The frozen plan was read; what came late is"
            " exploratory.",
            "warn",
        ) + table(["What", "Planned", "Now", "Here"], rows, numeric=[False] * 4)
    whole = json.dumps(record.content, indent=2, sort_keys=True, ensure_ascii=False)
    full = folded(
        "The whole plan and its hash",
        f"<p class='small'>sha256 <code>{escape(record.digest)}</code></p>"
        f'<pre tabindex="0">{escape(whole)}</pre>',
    )
    return panel("The plan", head, changed, listed, full)


def planned(content: Mapping[str, Any]) -> list[list[str]]:
    """The plan's settings in words, one row each."""
    rows = [
        ["Method", str(content.get("method", "sequential")).replace("_", " ")],
        ["Alpha", f"{content.get('alpha', 0.05):g}"],
        ["Correction", str(content.get("correction", "holm"))],
        ["Weights", ", ".join(f"{name} {n}" for name, n in content["weights"].items())],
    ]
    for key, label in (("planned_sample", "Planned sample"), ("horizon_weeks", "Horizon, weeks")):
        if key in content:
            rows.append([label, number(content[key])])
    if "smallest_lift" in content:
        rows.append(["Smallest lift that matters", percent(content["smallest_lift"])])
    if "ends_at" in content:
        rows.append(["Planned end", content["ends_at"][:16].replace("T", " ") + " UTC"])
    if "looks" in content:
        rows.append(["Looks at", ", ".join(percent(share) for share in content["looks"])])
    for name, value in content.get("design", {}).items():
        rows.append([str(name).capitalize(), str(value)])
    if "dimensions" in content:
        rows.append(["Dimensions", ", ".join(content["dimensions"])])
    for name, margin in content.get("margins", {}).items():
        is_share = margin.get("relative") or margin.get("is_relative")
        size = percent(margin["size"]) if is_share else number(margin["size"])
        rows.append([f"Margin of {name}", size])
    rows += [
        [f"Metrics: {role}", ", ".join(names)] for role, names in _roles(content).items() if names
    ]
    return rows


def _roles(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of metrics by role, primary ones first, from either shape of a frozen plan."""
    if "roles" in content:
        return {role: list(content["roles"].get(role, ())) for role in _FAMILIES}
    roles: dict[str, list[str]] = {role.removesuffix("s"): [] for role in _FAMILIES}
    for name, metric in content["metrics"].items():
        roles.setdefault(metric.get("role", "primary"), []).append(name)
    return roles


def notes(readout: Readout) -> str:
    """Methods, rules of each verdict, and everything else to know."""
    methods = sorted({entry.method for entry in readout.comparisons})
    n = len(readout.comparisons)
    corrected = f"; p corrected by {readout.correction} over {n} comparisons" if n > 1 else ""
    lines = [f"{' / '.join(methods) or readout.method}; alpha {readout.alpha:g}{corrected}."]
    if not readout.is_withheld and readout.comparisons:
        lines.append(
            "Relative intervals of means are Fieller's: they hold a lift exactly when the test does"
            " not reject it, so interval and p never disagree."
        )
        lines += [
            f"{_of(entry.metric)}, {entry.variant}: {entry.verdict.word.value} because"
            f" {entry.verdict.rule}"
            for entry in readout.comparisons
        ]
    lines += all_notes(readout)
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return panel("How this was read", f'<ul class="small">{items}</ul>', _provenance(readout))


def _of(metric: Metric) -> str:
    return metric.label


def _provenance(readout: Readout) -> str:
    """What makes the report repeatable."""
    origin, record = readout.provenance, readout.plan
    known = [
        ("read as of", origin.as_of),
        ("plan", record.digest[:DIGEST_SHOWN] if record else ""),
        ("data", origin.snapshot[:DIGEST_SHOWN]),
        ("engine", origin.engine_version),
    ]
    said = ", ".join(f"{what} {value}" for what, value in known if value)
    return paragraph(f"The same plan, data and engine give the same bytes: {said}.", "small")
