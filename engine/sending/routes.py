"""Which channel's provider is called for a message: its own, or its backup's while that is down.

Down is a breaker that is not closed: the provider failed, or refused our account. A rate or a
Retry-After is no reason to call somebody else. The first is probed on, and gets its messages back
by itself. A backup keeps its own rate, breaker and slow start, and what it is called for counts as
its own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from campaigns.settings_forms import ChannelForm
from channels.domains import Domains
from channels.warm_up import CEILING_MAX, WarmUp
from engine.core.model.instants import DAY, NEVER, SECOND, Instant
from engine.release.playbook import Playbook
from engine.sending.lanes import Paces

LOOK_AGAIN: Final = 15 * SECOND
"""A message that only one channel may send asks again after so long at the earliest."""


@dataclass(frozen=True)
class Route:
    """The channel that is called, and what it says of recipients' domains.

    Attributes:
        is_own: Whether it is the messages' own, and not its backup.
        own_opens_at: When to ask again for a message that may go by its own channel alone.
        named_domains: Those that antiphon.yaml names, so that they may be written down.
    """

    account: str
    is_own: bool = True
    own_opens_at: Instant = NEVER
    domains: Domains | None = None
    named_domains: Collection[str] = ()


def route_of(playbook: Playbook, paces: Paces, account: str, *, own: str, now: Instant) -> Route:
    """The way by a channel for messages that are another's `own`, or its."""
    form = form_of(playbook, account)
    return Route(
        account,
        account == own,
        max(paces.of(own).opens_at(now=now), now + LOOK_AGAIN),
        paces.of(account).domains,
        frozenset(map(str, form.domains)) if form is not None else frozenset(),
    )


def routes(playbook: Playbook, channel: str, *, open_: Collection[str]) -> Sequence[str]:
    """The channel, its backup, the backup of that one, …: those whose provider is open."""
    found = playbook.workspace.with_backups(channel)
    return [name for n, name in enumerate(found) if not n or name in open_]


def granted(
    paces: Paces, names: Sequence[str], lane: int, *, wanted: int, now: Instant
) -> tuple[str, int]:
    """The first of the routes that may be called now, and for how many."""
    for name in names:
        pace = paces.of(name)
        n = pace.grant(lane, wanted=wanted, now=now)
        if n:
            return name, n
        if not pace.is_down(now=now):
            break  # it only waits for its turn
    return names[0], 0


def opens_at(paces: Paces, names: Sequence[str], *, now: Instant) -> Instant:
    """When the first of them may be called again; `now` where nothing but a rate holds it."""
    return min(paces.of(name).opens_at(now=now) for name in names)


def form_of(playbook: Playbook, channel: str) -> ChannelForm | None:
    """What antiphon.yaml says of a channel."""
    channels: Mapping[str, ChannelForm] = playbook.workspace.settings.channels  # type: ignore[assignment]
    return channels.get(channel)


def warm_up_of(playbook: Playbook, channel: str) -> WarmUp | None:
    """The schedule that a channel warms up by, up to what its rate lets through in a day."""
    form = form_of(playbook, channel)
    if form is None or form.warm_up is None:
        return None
    until = CEILING_MAX if form.rate is None else form.rate[0] * DAY // form.rate[1]
    plan = form.warm_up
    return WarmUp(since=plan.from_, start=plan.start, doubles=plan.doubles, until=until)
