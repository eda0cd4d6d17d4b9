"""A readout for the terminal: the decision first, then tables that fit the width.

Where the table of effects is wider than the terminal, each comparison becomes a short list
instead. Colour is asked for by the caller, who knows NO_COLOR and whether anybody is looking; it
only repeats what the words say.
"""

from textwrap import fill
from typing import Final

from experiments.analysis.readout import Readout
from experiments.reporting.advice import TONES, figures, headline, reason
from experiments.reporting.markup import tone
from experiments.reporting.reading import DIGEST_SHOWN
from experiments.reporting.rows import columns, rows
from experiments.reporting.words import (
    all_notes,
    count,
    p_is,
    percent,
    srm_sentence,
    summary,
)

_COLOURS: Final = {"good": "32", "bad": "31", "open": "33", "null": "36"}
WIDTH_MIN: Final = 40


def text(readout: Readout, *, width: int | None = None, colour: bool = False) -> str:
    """Plain text, the decision first; columns are aligned by spaces.

    Args:
        width: Of the terminal in characters; None for as wide as it gets.
        colour: Whether to add ANSI colours.
    """
    width = None if width is None else max(width, WIDTH_MIN)
    lines = [readout.name, "=" * len(readout.name), ""]
    lines += _decision(readout, colour)
    if not (readout.awaited and readout.decision):  # Then the decision's reason says it already.
        lines += [*summary(readout), ""]
    if not readout.is_withheld:
        lines += [srm_sentence(readout), ""]
    lines += [f"  {name}: {count(n)} {readout.counted}" for name, n in readout.n.items()]
    lines.append("")
    if readout.comparisons:
        lines += _table(readout, width, colour)
        lines.append("")
    lines += [*_over_time(readout), *_segments(readout), *_quality(readout), *_plan(readout)]
    lines += [f"- {note}" for note in all_notes(readout)]
    if width is not None:
        lines = [_wrapped(line, width) for line in lines]
    return "\n".join(lines).rstrip() + "\n"


def painted(said: str, shade: str, *, colour: bool) -> str:
    """The text in the colour of a tone, if colour is wanted."""
    return f"\x1b[1;{_COLOURS[shade]}m{said}\x1b[0m" if colour else said


def _decision(readout: Readout, colour: bool) -> list[str]:
    decision = readout.decision
    if decision is None:
        return []
    said = headline(decision, control=readout.control)
    lines = [painted(said, TONES[decision.choice], colour=colour), reason(decision)]
    lines += [f"  {it.label}: {it.value} ({it.meaning})" for it in figures(readout)]
    return [*lines, ""]


def _table(readout: Readout, width: int | None, colour: bool) -> list[str]:
    cells = [list(columns(readout)), *rows(readout)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        return _stacked(readout, colour)
    lines = []
    for place, row in enumerate(cells):
        padded = [cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)]
        line = "  ".join(padded).rstrip()
        if place and colour:
            entry = readout.comparisons[place - 1]
            word = entry.verdict.word.value
            at = line.rindex(word)
            line = line[:at] + painted(word, tone(entry), colour=True) + line[at + len(word) :]
        lines.append(line)
        if place == 0:
            lines.append("  ".join("-" * wide for wide in widths))
    return lines


def _stacked(readout: Readout, colour: bool) -> list[str]:
    """Each comparison as a list, for narrow terminals."""
    names = columns(readout)
    broad = max(len(name) for name in names[2:])
    lines: list[str] = []
    for entry, row in zip(readout.comparisons, rows(readout), strict=True):
        lines.append(f"{row[0]}, {row[1]}")
        for name, cell in zip(names[2:], row[2:], strict=True):
            shown = painted(cell, tone(entry), colour=colour) if name == "verdict" else cell
            lines.append(f"  {name.ljust(broad)}  {shown}")
        lines.append("")
    return lines[:-1]


def _over_time(readout: Readout) -> list[str]:
    lines = []
    for track in readout.over_time:
        last = track.moments[-1]
        lines.append(
            f"{track.metric.label}, {track.variant}: {len(track.moments)} days looked at, the last"
            f" with {p_is(last.pvalue)} so far"
            + ("; no single effect fits every day" if track.contradicts_itself else "")
        )
    return [*lines, ""] if lines else []


def _segments(readout: Readout) -> list[str]:
    lines = []
    for part in readout.segments:
        for it in part.dimensions:
            lifts = ", ".join(
                f"{level.level} {percent(level.lift_rel.estimate, signed=True)}"
                for level in it.levels
                if level.lift_rel.estimate is not None
            )
            word = "differs" if it.differs else "no difference found"
            word = word if it.is_declared else "exploratory"
            mark = f" [{it.watermark}]" if it.watermark else ""
            lines.append(
                f"{part.variant} by {it.name}: {word} ({p_is(it.pvalue_adjusted)}): {lifts}{mark}"
            )
    return [*lines, ""] if lines else []


def _quality(readout: Readout) -> list[str]:
    found = readout.quality
    lines = [
        f"left out, {it.why}: {count(it.n)} of {count(it.of)} {it.what}" for it in found.excluded
    ]
    lines += [
        f"{name}: the sample ratio is off ({p_is(srm.pvalue)})"
        for name, srm in found.populations.items()
        if not srm.passed
    ]
    return [*lines, ""] if lines else []


def _plan(readout: Readout) -> list[str]:
    record = readout.plan
    if record is None or not record.is_frozen:
        return []
    lines = [f"plan {record.digest[:DIGEST_SHOWN]}, frozen when the experiment started"]
    lines += [
        f"  {it.what}: planned {it.frozen}, now {it.now}"
        f" ({'exploratory' if it.is_used else 'not followed'})"
        for it in record.changes
    ]
    return [*lines, ""]


def _wrapped(line: str, width: int) -> str:
    """Paragraphs are folded; a line of colour codes or of a table is left as it is."""
    if len(line) <= width or "\x1b" in line or "  " in line.strip():
        return line
    indent = "  " if line.startswith(("- ", "  ")) else ""
    return fill(line, width, subsequent_indent=indent)
