"""A queued message and its addressee -> the message as the provider gets it.

Everything personal is opened here, at the last moment, and leaves only in the provider's call:
the row of a message holds no address and no body, only the digest of what was sent.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from campaigns.secrets import fill_text
from channels.addresses import e164
from channels.base import OutMessage
from channels.content.limits import RenderError
from channels.content.render import Setting, render
from channels.sms.opt_out import with_opt_out
from channels.tokens import TRAP, Kind, make_token
from engine.core.clocktime import iso
from engine.core.model.instants import Instant
from engine.intake.consent_requests import asks_for_consent
from engine.release.playbook import Playbook
from engine.sending.rerouting import NOWHERE, reroute
from engine.store.connection import Connection
from engine.store.queue import WEBHOOK, Addressee, Queued
from engine.ticking.wire import ADDRESS_TRAITS
from engine.vault import Vault, is_sealed, sealed_for

IDEMPOTENCY: Final = UUID("6a1de3ab-3c1f-5f7e-9a55-0c3c9f5d2b11")
"""Names the space of our idempotency keys; never to be changed."""

TRACKING: Final = "tracking"
"""The topic by which people say whether what they open and follow may be counted."""

_object = msgspec.json.Decoder(dict[str, Any])
_consent = msgspec.json.Decoder(dict[str, dict[str, bool]])
_texts = msgspec.json.Decoder(dict[str, str])
_encode = msgspec.json.Encoder(order="sorted").encode
TRAIT_OF: Final = {channel: trait for trait, channel in ADDRESS_TRAITS.items()}


@dataclass(frozen=True)
class Links:
    """Makes the addresses that a message carries. `key` is at least 16 secret bytes, `key_id` its
    number in the ring of those that verify."""

    public_url: str
    key: bytes
    key_id: int = 1

    def unsubscribe(self, message: int) -> str:
        return f"{self.public_url}/u/{self._token('unsubscribe', message)}"

    def preferences(self, message: int) -> str:
        return f"{self.public_url}/preferences/{self._token('preferences', message)}"

    def confirm(self, message: int) -> str:
        return f"{self.public_url}/confirm/{self._token('confirm', message)}"

    def opened(self, message: int) -> str:
        return f"{self.public_url}/t/o/{self._token('open', message)}"

    def clicked(self, message: int, index: int) -> str:
        return f"{self.public_url}/t/c/{self._token('click', message, index)}"

    def _token(self, kind: Kind, message: int, index: int = 0) -> str:
        return make_token(kind, message, index=index, key=self.key, key_id=self.key_id)


class Composed(msgspec.Struct, frozen=True):
    """A message ready to call a provider with. `links` are its destinations by index; `note` is
    what people should know of it beside its outcome; `went_to` the hash (hex) of the address that
    stands in for the addressee's, whose bounces are its own."""

    message: OutMessage
    digest: str
    links: tuple[str, ...]
    note: str = ""
    went_to: str = ""


class Unsendable(Exception):
    """Why a message cannot be made; the words go into its row."""


def data_keys(connection: Connection, people: Mapping[int, Addressee]) -> dict[int, bytes]:
    """The wrapped data keys that open these people's sealed values.

    After a merge some values are still sealed for the profile that lost.
    """
    wanted = {
        sealed_for(token)
        for person in people.values()
        for token in _texts.decode(person.sealed).values()
    }
    rows = connection.select_in("SELECT id, data_key FROM profile WHERE id IN (?)", sorted(wanted))
    return {row[0]: row[1] for row in rows if row[1] is not None}


def compose(
    it: Queued,
    person: Addressee,
    *,
    playbook: Playbook,
    vault: Vault,
    keys: Mapping[int, bytes],
    links: Links,
    now: Instant,
) -> Composed:
    """Render a message for its addressee.

    Raises:
        Unsendable: No address, no template, or a value that is missing or does not fit.
    """
    if it.channel == WEBHOOK:
        return compose_call(it)
    template = playbook.templates.get((it.channel, it.template))
    if template is None:
        raise Unsendable(f"template {it.channel}/{it.template} is no longer in the workspace")
    traits = open_traits(person, vault, keys)
    is_at_person = it.channel in TRAIT_OF and it.account not in playbook.program.rooms
    to = str(traits.get(TRAIT_OF[it.channel], "")) if is_at_person else str(person.id)
    if not to:
        raise Unsendable(f"no {it.channel} address")
    if it.channel == "sms":
        country = traits.get("country")
        to = e164(to, region=country if isinstance(country, str) else None)
    workspace = playbook.workspace
    topic = playbook.program.topics.get(it.topic)
    is_marketing = topic is None or not topic.is_transactional
    is_tracked = may_track(it, person, playbook)
    unsubscribe = links.unsubscribe(it.id) if it.channel == "email" and is_marketing else ""
    form = workspace.settings.channels.get(it.account)  # type: ignore[call-overload]
    defaults = form.settings if form is not None else {}
    context = {**_object.decode(it.context), "profile": traits, "now": iso(now)}
    event = context.get("event", {})
    hidden = {name: value["$sealed"] for name, value in event.items() if is_sealed(value)}
    _open_into(event, hidden, vault, keys)
    setting = Setting(
        locale=traits.get("locale") if isinstance(traits.get("locale"), str) else None,
        zone=person.zone,
        currency=workspace.settings.currency or "",
        unsubscribe_url=unsubscribe or links.unsubscribe(it.id),
        preferences_url=links.preferences(it.id),
        open_url=links.opened(it.id) if it.channel == "email" and is_tracked else "",
        trap_url=links.clicked(it.id, TRAP) if unsubscribe and is_tracked else "",
        confirm_url=links.confirm(it.id) if asks_for_consent(event) else "",
        link_url=(lambda index, _: links.clicked(it.id, index)) if is_tracked else None,
        feeds=playbook.feeds,
    )
    try:
        content = render(template, context, setting=setting)
    except (LookupError, RenderError) as error:
        raise Unsendable(str(error.args[0] if error.args else error)) from error
    sender = defaults.get("from", "")
    text = content.text
    if it.channel == "sms" and is_marketing:
        # Before the digest: what the law adds is part of what was sent.
        text = with_opt_out(
            text,
            to=to,
            sender=sender,
            setting=defaults.get("opt_out_text"),
            unsubscribe_url=setting.unsubscribe_url,
        )
    message = OutMessage(
        id=it.id,
        channel=it.channel,  # type: ignore[arg-type]
        to=to,
        subject=content.subject,
        html=content.html,
        text=text,
        data=content.data,
        # Of a list the provider chooses, by the person.
        from_=content.from_ or (str(sender) if isinstance(sender, str) else ""),
        reply_to=content.reply_to or str(defaults.get("reply_to", "")),
        campaign=it.campaign,
        topic=it.topic,
        idempotency_key=str(uuid5(IDEMPOTENCY, str(it.id))),
        unsubscribe_url=unsubscribe,
        expires_at=it.expires_at,
        metadata={"message": str(it.id), "campaign": it.campaign, "step": it.step},
    )
    # A room is our own team's: nobody else reads there.
    is_room = it.account in playbook.program.rooms
    rerouted = reroute(message, mode=None if is_room else workspace.settings.test_mode)
    if rerouted is None:
        raise Unsendable(NOWHERE)
    message = rerouted.message
    body = _encode([message.subject, message.html, message.text, message.data])
    digest = hashlib.sha256(body).hexdigest()[:32]
    is_stand_in = message.to != to
    went_to = vault.address_hash(it.channel, message.to).hex() if is_stand_in else ""
    return Composed(message, digest, content.links, rerouted.note, went_to)


def may_track(it: Queued, person: Addressee, playbook: Playbook) -> bool:
    """Whether opens and clicks of a message may be counted: its topic's and its reader's word.

    A reader says it as of any topic, by the name `tracking`. Where the workspace has that topic,
    silence means what it means for the others; else only a "no" counts.
    """
    topics = playbook.program.topics
    topic = topics.get(it.topic)
    if topic is not None and not topic.is_tracked:
        return False
    said = _consent.decode(person.consent).get(it.channel, {})
    if False in (said.get(TRACKING), said.get("*")):
        return False
    is_asked = TRACKING in topics and playbook.program.consent_unknown == "refuse"
    return not is_asked or said.get(TRACKING) is True


def compose_call(it: Queued) -> Composed:
    """The request of a webhook step; its secrets are filled in here and stand in no row.

    Raises:
        Unsendable: A secret is not set, or a part cannot stand in a request.
    """
    request = _object.decode(it.context)
    secret = set(request["secrets"])

    def part(name: str, value: Any) -> str:
        written = str(value)
        try:
            filled = fill_text(written, read=_variable) if name in secret else written
        except LookupError as missing:
            raise Unsendable(f"the variable {missing.args[0]} is not set") from None
        if any(ord(character) < 32 or ord(character) == 127 for character in filled):
            raise Unsendable(f"{name} holds a control character")
        return str(filled)

    headers = {name: part(f"headers.{name}", value) for name, value in request["headers"].items()}
    message = OutMessage(
        id=it.id,
        channel="webhook",
        to=part("url", request["url"]),
        data={name: request[name] for name in ("method", "body", "timeout", "wants_reply")},
        headers=headers,
        campaign=it.campaign,
        idempotency_key=str(uuid5(IDEMPOTENCY, str(it.id))),
        expires_at=it.expires_at,
        metadata={"message": str(it.id), "campaign": it.campaign, "step": it.step},
    )
    return Composed(message, hashlib.sha256(it.context.encode()).hexdigest()[:32], ())


def _variable(kind: str, name: str) -> str | None:
    return os.environ.get(name) if kind == "env" else None


def open_traits(person: Addressee, vault: Vault, keys: Mapping[int, bytes]) -> dict[str, Any]:
    """A person's traits with the sealed ones opened; those whose data key is gone are left out."""
    traits = _object.decode(person.traits)
    _open_into(traits, _texts.decode(person.sealed), vault, keys)
    return traits


def _open_into(
    values: dict[str, Any], sealed: Mapping[str, str], vault: Vault, keys: Mapping[int, bytes]
) -> None:
    """Put opened values in place; one whose data key is gone (erased) goes missing."""
    for name, token in sealed.items():
        wrapped = keys.get(sealed_for(token))
        if wrapped is None:
            values.pop(name, None)
            continue
        key = vault.unwrap(sealed_for(token), wrapped)
        values[name] = vault.open_value(key, token, name=name)
