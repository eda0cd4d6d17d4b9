"""Rule 5: messages of one profile compete, and the more important one goes out.

Sends that come due within the workspace's `collect` stand before the gate together: by priority,
then due instant, then id. One that a cap still keeps back may take the place of a less important
message that is queued but not yet attempted; that one is dropped, with the reason in its row. A
ghost takes no real message's place.
Read next: `sends`, `policy`.
"""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

from msgspec import structs

from engine.core.model.effects import Displace
from engine.core.model.gates import Allow, Draft
from engine.core.model.instants import Instant
from engine.core.model.people import Enrollment, LedgerEntry
from engine.core.model.steps import Send
from engine.core.policy import closed_caps, counts_for, gate
from engine.core.scene import Scene


def next_to_send(scene: Scene, sending: Iterable[Enrollment], *, due: Instant) -> Enrollment:
    """Who goes first to the gate: of those due, and of those still collecting, the most important.

    A send that a gate has deferred is not called before its own instant.
    """
    horizon = due + scene.program.collect
    competing = [
        each
        for each in sending
        if each.due_at <= due or (each.message is None and each.due_at <= horizon)
    ]
    return scene.most_important(competing)


def collects_until(scene: Scene, draft: Draft) -> Instant:
    """When a send that is reached now meets the gate; a transactional one waits for nobody."""
    return scene.now if draft.topic.is_transactional else scene.now + scene.program.collect


def make_room(scene: Scene, draft: Draft, values: Mapping[str, Any]) -> bool:
    """Displace what less important messages are still queued, if that lets the draft go out.

    Nothing is displaced in vain: either every gate lets the draft through afterwards, or all stays.

    Args:
        values: What the draft's template may read besides the profile.
    """
    ledger, program, now = scene.state.ledger, scene.program, scene.now
    closed = closed_caps(draft, scene.person, ledger, program=program, now=now)
    weaker = [
        entry
        for entry in ledger
        if entry.message
        and entry.ghost_of is None
        and entry.priority < draft.priority
        and any(counts_for(cap, entry) for cap in closed)
    ]
    if not closed or not weaker or not _lacks_only_room(scene, draft, values):
        return False
    queued = scene.still_queued([entry.message for entry in weaker])
    victims = [entry for entry in weaker if entry.message in queued]
    victims.sort(key=lambda entry: (entry.priority, -entry.at, -entry.message))
    for taken in ([victim] for victim in victims), accumulate([[victim] for victim in victims]):
        for chosen in taken:
            rest = [entry for entry in ledger if entry not in chosen]
            if not closed_caps(draft, scene.person, rest, program=program, now=now):
                _displace(scene, draft, chosen, rest)
                return True
    return False


def _lacks_only_room(scene: Scene, draft: Draft, values: Mapping[str, Any]) -> bool:
    """Whether caps alone keep the draft back: consent, quiet hours and the rest let it pass."""
    roomy = structs.replace(scene.person, state=structs.replace(scene.state, ledger=[]))
    decision = gate(draft, roomy, program=scene.program, now=scene.now, ghost=False, values=values)
    return isinstance(decision, Allow)


def _displace(
    scene: Scene, draft: Draft, chosen: list[LedgerEntry], rest: list[LedgerEntry]
) -> None:
    scene.state.ledger = rest
    why = f"displaced by {draft.campaign}, priority {draft.priority}"
    scene.effects += [Displace(entry.message, scene.now, why) for entry in chosen]


def is_sending(scene: Scene, enrollment: Enrollment) -> bool:
    """Whether the enrollment stands at a send."""
    campaign = scene.campaign_of(enrollment)
    return campaign is not None and isinstance(campaign.steps.get(enrollment.step or ""), Send)
