"""From an event's row to the event the core plays.

The row holds pii sealed; the core sees only its blind mark, so that a condition can compare it and
nothing can leak it. Consent, addresses and zone that an event brings travel with it, to take effect
exactly when it is played.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from campaigns.declarations import pii_traits
from engine.core.model.effects import Effect, SetTrait
from engine.core.model.people import Contact, Event
from engine.release.playbook import Playbook
from engine.store.connection import Row
from engine.store.events import OLD, OURS
from engine.store.people import NO_CONTACT, Loaded
from engine.vault import Vault

_object = msgspec.json.Decoder(dict[str, Any])

ADDRESS_TRAITS: Final = {"email": "email", "phone": "sms", "push_token": "push"}
"""The trait that holds a channel's address: our word for the channel."""


class Decoded(Struct):
    """An event's row, decoded; sealed traits are still apart."""

    event: Event
    sealed: dict[str, str]
    blind: dict[str, str]
    consent: dict[str, dict[str, bool]] | None = None


def decode(row: Row) -> Decoded:
    """Read (seq, profile_id, name, at, accepted_at, flags, properties, context, traits)."""
    seq, _, name, at, accepted_at, flags, properties, context, traits = row
    changes: dict[str, Any] = {}
    sealed: dict[str, str] = {}
    blind: dict[str, str] = {}
    consent = None
    if traits:
        changes = _object.decode(traits)
        consent = changes.pop("$consent", None)
        for trait, value in changes.items():
            if isinstance(value, dict) and "$sealed" in value:
                sealed[trait] = value["$sealed"]
                blind[trait] = changes[trait] = value["$blind"]
    event = Event(
        seq=seq,
        name=name,
        at=at,
        accepted_at=accepted_at,
        properties=_object.decode(properties) if properties != "{}" else {},
        context=_object.decode(context) if context != "{}" else {},
        traits=changes,
        is_old=bool(flags & OLD),
        is_ours=bool(flags & OURS),
    )
    return Decoded(event, sealed, blind, consent)


def contact_keys(
    batch: Mapping[int, list[Decoded]], people: Mapping[int, Loaded], vault: Vault
) -> dict[tuple[str, str], str]:
    """The address hash (hex) of each address their events bring, by (channel, blind mark).

    This is the one place of the loop that opens a sealed value; it keeps only the hash.
    """
    keys: dict[tuple[str, str], str] = {}
    for profile_id, decoded in batch.items():
        it = people.get(profile_id)
        for each in decoded:
            if it is None or not each.sealed:
                continue
            for trait, channel in ADDRESS_TRAITS.items():
                token = each.sealed.get(trait)
                if token is not None and it.data_key is not None:
                    key = vault.unwrap(profile_id, it.data_key)
                    address = str(vault.open_value(key, token, name=trait))
                    mark = (channel, each.blind[trait])
                    keys[mark] = vault.address_hash(channel, address).hex()
    return keys


def settle(
    each: Decoded,
    it: Loaded,
    keys: Mapping[tuple[str, str], str],
    known: Mapping[str, Contact],
    playbook: Playbook,
) -> Event:
    """The event as the core plays it; what the core must not see goes into `it` at once."""
    event = each.event
    brings_zone = "timezone" in event.context or "country_zone" in event.context
    if not (brings_zone or event.traits or each.consent):
        return event  # as nearly every event
    it.is_told = True
    addresses = _settle_traits(each, it, keys, known) if event.traits else {}
    zone, zone_from = zone_told(event, it.zone_from, playbook.workspace.settings.zones)
    if zone_from:
        it.zone_from = zone_from
    if addresses or zone or each.consent:
        return replace(event, consent=each.consent, addresses=addresses or None, zone=zone)
    return event


def _settle_traits(
    each: Decoded, it: Loaded, keys: Mapping[tuple[str, str], str], known: Mapping[str, Contact]
) -> dict[str, Contact | None]:
    """Take over sealed values and addresses; the channels whose address changed."""
    traits = each.event.traits
    for trait in traits.keys() & it.sealed.keys():
        del it.sealed[trait]  # taken back, or no longer personal: the old value must not return
    it.sealed.update(each.sealed)
    addresses: dict[str, Contact | None] = {}
    for trait, channel in ADDRESS_TRAITS.items():
        if trait not in traits:
            continue
        key = keys.get((channel, each.blind.get(trait, "")))
        if key is not None:
            it.addresses[channel] = key
            addresses[channel] = known.get(key, NO_CONTACT)
        elif traits[trait] is None:
            it.addresses.pop(channel, None)
            addresses[channel] = None
    return addresses


def hide(it: Loaded, effects: Iterable[Effect], playbook: Playbook, vault: Vault) -> None:
    """Seal the pii traits that `update` steps computed: the core left them to us."""
    kinds: Mapping[str, str] = {}
    for effect in effects:
        if not isinstance(effect, SetTrait):
            continue
        it.is_told = True
        if effect.name not in playbook.program.pii_traits:
            continue
        if it.data_key is None:
            continue  # erased: there is nothing left to seal it with
        kinds = kinds or pii_traits(playbook.workspace)
        profile = it.person.profile
        key = vault.unwrap(profile.id, it.data_key)
        kind = kinds[effect.name]
        hidden = vault.seal_value(key, effect.value, name=effect.name, kind=kind)
        it.sealed[effect.name] = hidden["$sealed"]
        profile.traits[effect.name] = hidden["$blind"]
        channel = ADDRESS_TRAITS.get(effect.name)
        if channel is not None:
            it.addresses[channel] = vault.address_hash(channel, str(effect.value)).hex()


def zone_told(event: Event, zone_from: str, sources: Sequence[str]) -> tuple[str, str]:
    """The zone this event reveals and where from; nothing if a better source has told one.

    Args:
        zone_from: The source of the zone known so far.
        sources: The workspace's sources of a zone, best first.
    """
    device, country = event.context.get("timezone"), event.context.get("country_zone")
    trait = event.traits.get("timezone")
    if not (trait or device or country):
        return "", ""  # as nearly every event
    found = {"trait": trait, "device": device, "country": country}
    for source in sources:
        zone = found.get(source)
        if zone:
            return str(zone), source
        if zone_from == source:
            break
    return "", ""
