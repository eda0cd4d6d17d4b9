"""A readout as a Markdown section with tables, for pull requests and chats."""

from experiments.analysis.readout import Readout
from experiments.reporting.advice import figures, headline, reason
from experiments.reporting.rows import columns, rows
from experiments.reporting.words import (
    all_notes,
    count,
    percent,
    pvalue_text,
    span,
    srm_sentence,
    summary,
)


def markdown(readout: Readout) -> str:
    """The decision, the tables, the plan, and what a reader must know."""
    lines = [f"## {cell(readout.name)}", ""]
    decision = readout.decision
    if decision is not None:
        said = headline(decision, control=readout.control)
        lines += [f"**{cell(said)}.** {cell(reason(decision))}", ""]
    if not (readout.awaited and decision):  # Then the decision's reason says it already.
        lines += [f"**{cell(said)}**  " for said in summary(readout)]
    if not readout.is_withheld:
        lines += ["", cell(srm_sentence(readout))]
    lines += _table(["variant", readout.counted, "planned"], _sizes(readout), "--:")
    if readout.comparisons:
        lines += _table(list(columns(readout)), rows(readout))
    if found := figures(readout):
        lines += _table(["to weigh", "", ""], [[it.label, it.value, it.meaning] for it in found])
    lines += [*_segments(readout), *_left_out(readout), *_plan(readout)]
    lines += ["", *(f"- {cell(note)}" for note in all_notes(readout))]
    return "\n".join(lines).rstrip() + "\n"


def cell(text: str) -> str:
    """Text that no name can turn into markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _table(heads: list[str], body: list[list[str]], align: str = "---") -> list[str]:
    rules = ["---", *(align for _ in heads[1:])]
    return [
        "",
        "| " + " | ".join(map(cell, heads)) + " |",
        "|" + "|".join(rules) + "|",
        *("| " + " | ".join(map(cell, row)) + " |" for row in body),
    ]


def _sizes(readout: Readout) -> list[list[str]]:
    total = sum(readout.srm.expected.values())
    return [
        [name, count(n), percent(readout.srm.expected[name] / total)]
        for name, n in readout.n.items()
    ]


def _segments(readout: Readout) -> list[str]:
    body = [
        [part.variant, it.name, level.level, count(level.n_control + level.n_treatment),
         "none" if level.lift_rel.estimate is None
         else percent(level.lift_rel.estimate, signed=True),
         span(level.lift_rel), pvalue_text(it.pvalue_adjusted),
         "declared" if it.is_declared else "exploratory"]
        for part in readout.segments
        for it in part.dimensions
        for level in it.levels
    ]  # fmt: skip
    if not body:
        return []
    heads = ["variant", "dimension", "level", "units", "lift", "interval, alone",
             "p of a difference", "standing"]  # fmt: skip
    return _table(heads, body)


def _left_out(readout: Readout) -> list[str]:
    body = [[it.why, f"{count(it.n)} {it.what}", count(it.of)] for it in readout.quality.excluded]
    return _table(["left out because they", "how many", "of"], body) if body else []


def _plan(readout: Readout) -> list[str]:
    record = readout.plan
    if record is None or not record.is_frozen:
        return []
    lines = ["", f"Plan `{record.digest}`, frozen when the experiment started."]
    if not record.changes:
        return lines
    body = [
        [it.what, it.frozen, it.now, "exploratory" if it.is_used else "not followed"]
        for it in record.changes
    ]
    return [*lines, *_table(["changed since", "planned", "now", "here"], body)]
