"""What conditions read of a profile that no event brings: it may differ from one play to the next.

A model's new champion, a link by which an address withdrew, the id that an anonymous visitor now
goes by. `play` compares this with what the segments were last told (`State.told`) and asks those
again that it can change; whoever publishes such news wakes the profiles it matters to.
"""

from collections.abc import Iterable
from typing import Any

from engine.core.conditions.compiled import EXTERNAL_ID
from engine.core.model.people import Profile


class News:
    """What a program's conditions read from outside the log. False where that is nothing.

    Args:
        facts: Everything they read (`Compiled.facts`).
    """

    def __init__(self, facts: Iterable[str]) -> None:
        self.models = tuple(sorted(_named(facts, "score")))
        self._channels = tuple(sorted(_named(facts, "consent")))
        self._has_lists = EXTERNAL_ID in facts
        self.facts = frozenset(
            [
                *([EXTERNAL_ID] if self._has_lists else []),
                *(f"score:{model}" for model in self.models),
                *(f"consent:{channel}" for channel in self._channels),
            ]
        )
        self._is_any = bool(self.facts)

    def __bool__(self) -> bool:
        return self._is_any

    def of(self, profile: Profile) -> dict[str, Any]:
        """What there is to be told of this profile, by fact; plain data, short."""
        told: dict[str, Any] = {}
        if self._has_lists:
            told[EXTERNAL_ID] = profile.external_id
        for model in self.models:
            score = profile.scores.get(model)
            if score is not None:
                told[f"score:{model}"] = score.run
        for channel in self._channels:
            contact = profile.addresses.get(channel)
            if contact is not None and contact.withdrawn:
                told[f"consent:{channel}"] = sorted(contact.withdrawn)
        return told

    @staticmethod
    def changed(told: dict[str, Any], now: dict[str, Any]) -> list[str]:
        """The facts that differ."""
        return [fact for fact in {**told, **now} if told.get(fact) != now.get(fact)]


def _named(facts: Iterable[str], kind: str) -> set[str]:
    return {fact.removeprefix(f"{kind}:") for fact in facts if fact.startswith(f"{kind}:")}
