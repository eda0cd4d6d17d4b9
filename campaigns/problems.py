"""What is wrong with a workspace, said so that it can be mended.

Every problem has a place, what was found there and one sentence: what is allowed, what to do.
All of them are collected before anything is refused. Nothing here ever holds a secret.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from engine.core.errors import CampaignError


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to mend. `line` counts from 1; 0 means the file as a whole."""

    file: str
    line: int
    found: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class InvalidWorkspace(CampaignError):
    """The workspace has errors."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def sentence(text: str) -> str:
    """The text with one full stop, unless it ends in a question or in what is left out."""
    text = text.rstrip(". ")
    return text if text.endswith(("?", "!", "…")) else f"{text}."


def nearest(found: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that was most likely meant, or None where nothing is close."""
    by_folded = {word.casefold(): word for word in allowed}
    close = get_close_matches(found.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def advice(found: str, allowed: Iterable[str]) -> str:
    """The end of a message: the nearest allowed word, or the allowed words, or nothing.

    >>> advice("remindr", ["remind", "wait"])
    ' Did you mean "remind"?'
    >>> advice("x", ["remind", "wait"])
    ' Allowed: remind, wait.'
    """
    words = sorted(set(allowed))
    if meant := nearest(found, words):
        return f' Did you mean "{meant}"?'
    if not words:
        return ""
    shown = ", ".join(words[:12])
    return f" Allowed: {shown}{', …' if len(words) > 12 else ''}."
