"""The gates once more, in the transaction that commits the attempt.

A message may have waited an hour in its queue. Suppression, erasure, consent, quiet hours and
expiry are asked again as of now; caps are not, they were settled when the message was decided.
"""

from typing import Final

import msgspec

from engine.core.model.campaigns import Program, Topic
from engine.core.model.gates import Decision, Draft, Drop
from engine.core.model.instants import Instant, ProfileId
from engine.core.model.people import Contact, Person, Profile, State
from engine.core.policy import ALLOW, EXPIRED, gate
from engine.store.queue import WEBHOOK, Addressee, Queued

_consent: Final = msgspec.json.Decoder(dict[str, dict[str, bool]])


def last_look(
    it: Queued,
    person: Addressee,
    contact: Contact | None,
    program: Program,
    now: Instant,
) -> Decision:
    """Suppression, consent, quiet hours and expiry once more; caps were settled in the tick."""
    if person.erased_at is not None:
        return Drop("erased")
    if it.channel == WEBHOOK:  # it reaches a machine of ours, not a person: nobody consents to it
        return ALLOW if now < it.expires_at else Drop(EXPIRED)
    addresses = {it.channel: contact or Contact()}
    profile = Profile(
        ProfileId(person.id), person.zone, {}, _consent.decode(person.consent), addresses
    )
    topic = program.topics.get(it.topic) or Topic(it.topic)
    draft = Draft(
        it.campaign,
        it.channel,
        it.template,
        topic,
        priority=0,
        expires_at=it.expires_at,
        account=it.account,
    )
    capless = msgspec.structs.replace(program, caps=())
    return gate(draft, Person(profile, State()), program=capless, now=now, ghost=False)
