"""May this message go out now? The gates of every message, in one order, each with its reason.

Suppression, consent, address, missing values, frequency caps, quiet hours, the send window: the
first gate that says no gives the reason, in words a marketer reads. `gate` is pure: it is asked
when a step is reached, again whenever a deferral ends, and for every arm of an experiment. What it
never decides is who is held out: message or ghost is forked only after the last gate (`sends`).
Read next: `sends`, `holdouts`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from engine.core.caps import is_about, limit_of
from engine.core.clocktime import iso, quiet_until
from engine.core.conditions.local_hours import compile_local_time
from engine.core.model.campaigns import Cap, Program
from engine.core.model.gates import Allow, Decision, Defer, Draft, Drop
from engine.core.model.instants import DAY, HOUR, MINUTE, Instant
from engine.core.model.people import LedgerEntry, Person
from engine.core.paths import MISSING, follow

ALLOW: Final = Allow()
EXPIRED: Final = "expired"

CHANNEL_WORDS: Final = {
    "email": ("email", "emails"),
    "sms": ("text message", "text messages"),
    "push": ("push message", "push messages"),
    "web": ("web message", "web messages"),
}

ADDRESS_MISSING: Final = {
    "email": "no email address",
    "sms": "no phone number",
    "push": "no push token",
    "web": "no web visitor id",
}


def gate(
    draft: Draft,
    person: Person,
    *,
    program: Program,
    now: Instant,
    ghost: bool,
    values: Mapping[str, Any] | None = None,
) -> Decision:
    """What the gates say to a message at an instant.

    A transactional topic skips consent to topics, caps and quiet hours; nothing skips suppression,
    nor the send window that its own author asked for.

    Args:
        ghost: Whether caps count for a held-out person: the real messages and this campaign's own
            ghosts, never another campaign's.
        values: What the template may read besides the profile (`event`, `campaign`, ...). None
            leaves all but `profile.` paths unchecked.
    """
    if now >= draft.expires_at:
        return Drop(EXPIRED)
    refusal = _refusal(draft, person, program, now, values)
    if refusal:
        return Drop(refusal)
    if draft.topic.is_transactional:
        return _window(draft, person, now) or ALLOW
    return (
        _cap(draft, person, program, now, ghost)
        or _quiet(draft, person, program, now)
        or _window(draft, person, now)
        or ALLOW
    )


def meets_caps(
    draft: Draft,
    person: Person,
    *,
    program: Program,
    now: Instant,
    values: Mapping[str, Any] | None = None,
) -> bool:
    """Whether `gate` comes as far as asking the caps; the arguments are its own."""
    if draft.topic.is_transactional or now >= draft.expires_at:
        return False
    return not _refusal(draft, person, program, now, values)


def unreachable(draft: Draft, person: Person, *, program: Program, now: Instant) -> str | None:
    """Why this person cannot be reached this way at all, now or later; None where they can.

    What passes by itself (caps, quiet hours) and what another channel would not mend (a missing
    value, expiry) is not asked.
    """
    return (
        _suppression(draft, person, program, now)
        or _consent(draft, person, program)
        or _address(draft, person, program)
    )


def _refusal(
    draft: Draft, person: Person, program: Program, now: Instant, values: Mapping[str, Any] | None
) -> str | None:
    """What no time heals: the gates before the caps."""
    return (
        _suppression(draft, person, program, now)
        or _consent(draft, person, program)
        or _address(draft, person, program)
        or _missing_value(draft, person, values)
    )


def _suppression(draft: Draft, person: Person, program: Program, now: Instant) -> str | None:
    if draft.sent_by in program.rooms:
        return None
    contact = person.profile.addresses.get(draft.channel)
    if contact is None or contact.suppressed is None or now >= contact.suppressed_until:
        return None
    return f"suppressed: {contact.suppressed}"


def _consent(draft: Draft, person: Person, program: Program) -> str | None:
    if draft.topic.is_transactional:
        return None
    topic = draft.topic.name
    contact = person.profile.addresses.get(draft.channel)
    if contact is not None and (topic in contact.withdrawn or "*" in contact.withdrawn):
        return f"unsubscribed from {topic} by {draft.channel}"
    granted = person.profile.consent.get(draft.channel, {})
    answers = (granted.get(topic), granted.get("*"))  # "*" is said of every marketing topic.
    if False in answers:
        return f"no consent for {topic} by {draft.channel}"
    if draft.topic.is_double and answers[0] is not True:
        return f"consent for {topic} by {draft.channel} is not confirmed"
    if True not in answers and program.consent_unknown == "refuse":
        return f"consent for {topic} by {draft.channel} is unknown"
    return None


def _address(draft: Draft, person: Person, program: Program) -> str | None:
    if draft.channel in person.profile.addresses or draft.sent_by in program.rooms:
        return None
    return ADDRESS_MISSING.get(draft.channel, f"no address for {draft.channel}")


def _missing_value(draft: Draft, person: Person, values: Mapping[str, Any] | None) -> str | None:
    for path in draft.requires:
        root, keys = _parts(path)
        if root == "profile":
            found = follow(person.profile.traits, keys)
        elif values is None:
            continue
        else:
            found = follow(values.get(root, MISSING), keys)
        # Null and empty text would print as a hole ("Hi ,"), so they count as missing here.
        if found is MISSING or found is None or (isinstance(found, str) and not found.strip()):
            return f"missing value: {path}"
    return None


@lru_cache(maxsize=1024)
def _parts(path: str) -> tuple[str, list[str]]:
    root, *keys = path.split(".")
    return root, keys


def _cap(
    draft: Draft, person: Person, program: Program, now: Instant, ghost: bool
) -> Decision | None:
    """The cap that opens last decides: until then the message could not go out anyway."""
    closed = _closed(draft, person, person.state.ledger, program, now, ghost)
    if not closed:
        return None
    opening, cap = max(closed, key=lambda each: each[0])
    limit = limit_of(cap, person, program=program)
    if limit == 0:
        return Drop(_cap_words(cap, limit))
    why = f"{_cap_words(cap, limit)}, next opening {iso(opening)}"
    if draft.when_capped == "drop":
        return Drop(why)
    if opening >= draft.expires_at:
        return Drop(f"{why}, after it expires")
    return Defer(opening, why)


def closed_caps(
    draft: Draft, person: Person, ledger: list[LedgerEntry], *, program: Program, now: Instant
) -> list[Cap]:
    """The caps that keep a real message back now, where the person had this ledger."""
    return [cap for _, cap in _closed(draft, person, ledger, program, now, False)]


def counts_for(cap: Cap, entry: LedgerEntry) -> bool:
    """Whether a cap is about messages like this one."""
    return cap.channel in (None, entry.channel) and cap.topic in (None, entry.topic)


def _closed(
    draft: Draft,
    person: Person,
    ledger: list[LedgerEntry],
    program: Program,
    now: Instant,
    ghost: bool,
) -> list[tuple[Instant, Cap]]:
    """Each closed cap with its next opening, in the order of the settings."""
    found = []
    for cap in program.caps:
        if not is_about(cap, draft):
            continue
        limit = limit_of(cap, person, program=program)
        opening = _next_opening(cap, limit, draft, ledger, now, ghost)
        if opening is not None:
            found.append((opening, cap))
    return found


def _next_opening(
    cap: Cap, limit: int, draft: Draft, ledger: list[LedgerEntry], now: Instant, ghost: bool
) -> Instant | None:
    """When the cap lets this message through, or None if it does now.

    A message counts in the half-open span [at, at + per).
    """
    if limit == 0:
        return now + cap.per
    if len(ledger) < limit:
        return None
    times = sorted(
        entry.at
        for entry in ledger
        if entry.at > now - cap.per
        and counts_for(cap, entry)
        and (entry.ghost_of is None or (ghost and entry.ghost_of == draft.campaign))
    )
    return times[-limit] + cap.per if len(times) >= limit else None


def _cap_words(cap: Cap, limit: int) -> str:
    one, many = CHANNEL_WORDS.get(cap.channel or "", ("message", "messages"))
    about = f" about {cap.topic}" if cap.topic else ""
    tried = f" ({cap.name} tries {', '.join(map(str, cap.tries))})" if cap.tries else ""
    return f"cap: {limit} {one if limit == 1 else many}{about} in {_span_words(cap.per)}{tried}"


def _span_words(span: int) -> str:
    """A span in its largest whole unit."""
    for unit, word in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if span % unit == 0:
            n_units = span // unit
            return f"{n_units} {word}" if n_units == 1 else f"{n_units} {word}s"
    return f"{span / 1_000_000:g} seconds"


def _quiet(draft: Draft, person: Person, program: Program, now: Instant) -> Decision | None:
    if program.quiet_hours is None:
        return None
    until = quiet_until(program.quiet_hours, person.profile.zone, now=now)
    if until is None:
        return None
    why = f"quiet hours until {iso(until)}"
    if until >= draft.expires_at:
        return Drop(f"{why}, after it expires")
    return Defer(until, why)


def _window(draft: Draft, person: Person, now: Instant) -> Decision | None:
    if draft.send_window is None:
        return None
    is_open, until = _hours(draft.send_window)({}, person.profile, now)
    if is_open:
        return None
    why = f"send window opens {iso(until)}"
    if until >= draft.expires_at:
        return Drop(f"{why}, after it expires")
    return Defer(until, why)


_hours = lru_cache(maxsize=256)(compile_local_time)
