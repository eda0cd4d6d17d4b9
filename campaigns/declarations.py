"""What conditions are checked against: names, traits and events that a workspace declares.

Every kind of condition reads its tests through this; what is wrong is collected, never raised.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from typing import Final, TypeAlias

from campaigns.comparisons import Asking, compile_asked
from campaigns.durations import parse_date, parse_instant
from campaigns.problems import Problem, advice, sentence
from campaigns.reading import Text
from campaigns.step_forms import TrackStep, walk
from campaigns.workspace import Workspace
from engine.core.clocktime import resolve
from engine.core.model.conditions import Comparison
from engine.core.model.instants import Instant

Blind: TypeAlias = Callable[[str, str, object], str]
"""(trait, declared type, value) -> the marker that stands for the value in the traits."""

OUR_EVENTS: Final = (
    "Segment Entered", "Segment Exited", "Message Sent", "Message Delivered", "Message Opened",
    "Message Clicked", "Message Bounced", "Message Complained", "Message Unsubscribed",
    "Message Deferred", "Message Undelivered", "Message Rejected", "Message Failed",
    "Message Displayed", "Message Dismissed", "Message Replied", "Campaign Triggered",
    "Webhook Answered", "Send Time Explored",
    "Consent Requested", "Consent Confirmed", "Preferences Changed", "Experiment Viewed",
)  # fmt: skip
"""Events that the engine itself writes; no file needs to declare them."""

ALWAYS_PII: Final = {"email": "email", "phone": "phone", "push_token": "string"}
"""Traits that are addresses, with their types: pii even where antiphon.yaml does not say so."""


class Declarations:
    """What one workspace declares.

    `has_blinded` becomes true once a marker was made: then the result depends on the key.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        names: Mapping[str, Collection[str]],
        blind: Blind,
        problems: list[Problem],
    ) -> None:
        self.workspace = workspace
        self.names = names
        self.blind = blind
        self.problems = problems
        self.has_blinded = False
        self.traits = {str(name): form for name, form in workspace.settings.traits.items()}
        self.pii = pii_traits(workspace)
        self.events = frozenset(_known_events(workspace, names))

    def midnight(self, on: date) -> Instant:
        """The instant at which a date starts in the workspace's zone."""
        return resolve(on, 0, str(self.workspace.settings.zone))

    def instant(self, text: Text) -> Instant:
        """The instant that a date or a time names; ValueError if it names none."""
        on = parse_date(text)
        return self.midnight(on) if on else parse_instant(text)

    def report(self, file: str, line: int, found: str, message: str) -> None:
        self.problems.append(Problem(file, line, found, sentence(message)))

    def segment(self, name: Text, file: str) -> None:
        """Report a segment that no file declares."""
        self.known("segment", name, self.names["segments"], file)

    def known(self, noun: str, name: Text, names: Collection[str], file: str) -> bool:
        """Report a name that nothing declares, with the nearest one that something does."""
        if name in names:
            return True
        places = {"segment": "segments/", "metric": "metrics/", "campaign": "campaigns/"}
        hint = advice(name, names) or f" Declare it in {places.get(noun, 'antiphon.yaml')}."
        self.report(file, name.line, str(name), f'there is no {noun} "{name}".{hint}')
        return False

    def asked(
        self, path: Text, asking: Asking, declared: str | None, file: str
    ) -> tuple[Comparison, ...]:
        """The tests of the value at a path, by its declared type; none if they are wrong."""
        try:
            # A date without a time compares as a date: both sides begin at one midnight.
            midnight = utc_midnight if declared == "date" else self.midnight
            return compile_asked(asking, declared=declared, midnight=midnight)
        except ValueError as error:
            line = asking[0].line or path.line
            self.report(file, line, str(path), f"{path}: {error}")
            return ()

    def tried(
        self,
        read: Callable[[Asking], tuple[Comparison, ...]],
        asking: Asking,
        file: str,
        line: int,
        key: str,
    ) -> tuple[Comparison, ...]:
        """What `read` makes of the tests under a key; none if they are wrong."""
        try:
            return read(asking)
        except ValueError as error:
            self.report(file, asking[0].line or line, key, f"{key}: {error}")
            return ()

    def marker(self, name: str, value: object) -> object:
        """What stands for a value of a pii trait."""
        if value is None:
            return None
        self.has_blinded = True
        return self.blind(name, self.pii[name], value)


def utc_midnight(on: date) -> Instant:
    """The instant at which a date starts in UTC."""
    return resolve(on, 0, "UTC")


def pii_traits(workspace: Workspace) -> dict[str, str]:
    """Every trait that is pii, with its type."""
    declared = workspace.settings.traits.items()
    return {
        **ALWAYS_PII,
        **{str(name): form.type for name, form in declared if form.pii or name in ALWAYS_PII},
    }


def _known_events(workspace: Workspace, names: Mapping[str, Collection[str]]) -> Iterator[str]:
    if not names["events"]:
        return
    yield from names["events"]
    yield from OUR_EVENTS
    for campaign in workspace.campaigns.values():
        for _, step in walk(campaign.journey):
            if isinstance(step, TrackStep):
                yield str(step.track.event)
