"""Who may come in again: the re-entry rule of a campaign, per key, and what it must remember.

While someone is inside, `while_active` decides alone (ignore, restart, parallel). Afterwards `when`
does: never, as soon as they are out (after_exit), or once they have been out for the gap
(after_gap: counted from the exit, so that a person is left alone for at least that long).
A scheduled campaign has a new key at every fire, and one triggered by the API (unless it names a
key) at every call, so their rule never forbids one. A date has one key for each anniversary.
Read next: `entry`.
"""

from engine.core.model.campaigns import ApiTrigger, Campaign, ScheduleTrigger
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Enrollment, State
from engine.core.scene import Scene


def may_reenter(scene: Scene, campaign: Campaign, key: str) -> bool:
    """Whether someone who is not inside under this key may enter now."""
    last = scene.state.entries.get(_entry_name(campaign.name, key))
    if last is None or campaign.reentry.when == "after_exit":
        return True
    if campaign.reentry.when == "never":
        return False
    _, exited_at = last
    return exited_at != NEVER and scene.now >= exited_at + campaign.reentry.gap


def remember_entry(scene: Scene, campaign: Campaign, key: str) -> None:
    """Note the entry, and forget those whose gap has passed."""
    if _is_always_another(campaign):
        return
    if campaign.reentry.when == "after_gap":
        _forget_passed_gaps(scene.state, campaign, scene.now)
    scene.state.entries[_entry_name(campaign.name, key)] = (scene.now, NEVER)


def remember_exit(scene: Scene, enrollment: Enrollment, campaign: Campaign) -> None:
    """Note the exit, if the rule will ever ask for it.

    Without a key the entry is kept under every rule, so that a later version with a stricter one
    knows of it; with a key that would grow with every cart, so `after_exit` keeps nothing.
    """
    name = _entry_name(enrollment.campaign, enrollment.key)
    last = scene.state.entries.get(name)
    if last is None:
        return
    if enrollment.key and campaign.reentry.when == "after_exit":
        del scene.state.entries[name]
    else:
        scene.state.entries[name] = (last[0], scene.now)


def _forget_passed_gaps(state: State, campaign: Campaign, now: Instant) -> None:
    prefix = _entry_name(campaign.name, "")
    gap = campaign.reentry.gap
    passed = [
        name
        for name, (_, exited_at) in state.entries.items()
        if name.startswith(prefix) and exited_at + gap <= now
    ]
    for name in passed:
        del state.entries[name]


def _is_always_another(campaign: Campaign) -> bool:
    """Whether every start has a key of its own: remembering those would only grow."""
    trigger = campaign.trigger
    return isinstance(trigger, ScheduleTrigger) or (
        isinstance(trigger, ApiTrigger) and trigger.key is None
    )


def _entry_name(campaign: str, key: str) -> str:
    # A line end cannot occur in a campaign's name, so no two pairs share a name.
    return f"{campaign}\n{key}"
