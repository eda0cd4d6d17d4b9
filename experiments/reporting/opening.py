"""What a reader sees first: what to do, in plain words, and the few numbers to weigh it by."""

from html import escape

from experiments.analysis.readout import Readout
from experiments.reporting.advice import TONES, figures, headline, reason
from experiments.reporting.markup import chip, verdict_chip
from experiments.reporting.words import sentence, summary, to_tell


def opening(readout: Readout) -> str:
    """The decision, its reason, the verdicts in sentences, and the numbers beside them."""
    said = "".join(f"<li>{word}<span>{text}</span></li>" for word, text in sentences(readout))
    decision = readout.decision
    # What is awaited is the decision's own reason; it is not said twice.
    is_said = bool(readout.awaited) and decision is not None
    verdicts = "" if is_said else f'<ul class="said">{said}</ul>'
    if decision is None:
        return verdicts
    tiles = "".join(
        f"<div><dt>{escape(it.label)}</dt><dd><strong>{escape(it.value)}</strong>"
        f"<small>{escape(it.meaning)}</small></dd></div>"
        for it in figures(readout)
    )
    numbers = f'<dl class="figures">{tiles}</dl>' if tiles else ""
    return (
        f'<div class="decision {TONES[decision.choice]}">'
        f'<p class="do">{escape(headline(decision, control=readout.control))}</p>'
        f'<p class="why">{escape(reason(decision))}</p>{numbers}</div>{verdicts}'
    )


def sentences(readout: Readout) -> list[tuple[str, str]]:
    """A chip and a sentence each."""
    if readout.is_withheld:
        return [(chip("withheld", "bad"), escape(summary(readout)[0]))]
    if readout.awaited:
        return [(chip("not yet", "open"), escape(summary(readout)[0]))]
    return [
        (verdict_chip(entry), escape(sentence(entry, control=readout.control)))
        for entry in to_tell(readout) or readout.comparisons
    ]
