"""From bytes to checked facts, without a database: the half of ingest that any thread may do.

Read next: `ingest`, which commits them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from engine.core.errors import InvalidEvent
from engine.core.journeys.viewed import EXPERIMENT_VIEWED
from engine.core.model.instants import Instant
from engine.intake.calls import KINDS, Call, CarefulCall, Kind, Read, read_batch, read_call
from engine.intake.consents import held_back, proof_of, read_consents
from engine.intake.declared import Declared, Field
from engine.intake.enrich import EMPTY, Context, enrich
from engine.intake.validate import (
    MESSAGE_ID_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    Limits,
    check_declared,
    check_id,
    check_instant,
    check_json,
    check_name,
    check_type,
    check_when,
)
from engine.store.events import message_hash
from engine.store.keys import KeyKind

EVENT_NAMES: Final[Mapping[str, str]] = {
    "page": "Page Viewed",
    "screen": "Screen Viewed",
    "identify": "Profile Identified",
    "group": "Group Joined",
    "alias": "Profile Aliased",
}

Status: TypeAlias = Literal["accepted", "duplicate", "rejected"]
AcceptedAt: TypeAlias = Instant | Literal["event"] | None


class Answer(Struct, omit_defaults=True):
    """What became of one item. `ignored` names parts that were dropped from an accepted one."""

    status: Status
    field: str = ""
    message: str = ""
    ignored: list[str] = []


ACCEPTED: Final = Answer("accepted")
DUPLICATE: Final = Answer("duplicate")


class Fact(Struct, gc=False):
    """One checked item, ready to be committed.

    `properties`, `context` and `traits` are JSON texts. Where there is something to seal,
    `open_traits` and `open_properties` hold the values in the clear and `pii_*` name what must be
    sealed; the texts are made at commit, under the profile's key. `accepted_at` None means the
    instant of the commit; `trigger_age_max` None means never too old. `is_ours` marks what no
    caller can send as an event. `requested` are consents, by (channel, topic), that wait until
    their person confirms them.
    """

    hash: bytes
    kind: Kind
    name: str
    user_id: str | None
    anonymous_id: str | None
    previous_id: str | None
    at: Instant
    accepted_at: Instant | None
    trigger_age_max: int | None
    is_server: bool
    properties: str
    context: str
    traits: str | None
    open_traits: dict[str, Any] | None = None
    open_properties: dict[str, Any] | None = None
    pii_traits: dict[str, Field] | None = None
    pii_properties: dict[str, Field] | None = None
    consent: dict[str, dict[str, bool]] | None = None
    requested: list[tuple[str, str]] | None = None
    proof: str = ""
    is_ours: bool = False


class Prepared(Struct):
    """One request: an answer per item so far, and the facts to commit by place."""

    answers: list[Answer]
    facts: list[tuple[int, Fact]]


class Terms(Struct, frozen=True):
    """On which terms items come in.

    `source` is what a messageId is unique within: a write key's id, or the like. `entropy` makes
    ids for items that bring none. `trigger_age_max` None lets even old events start journeys.
    """

    declared: Declared
    entropy: Callable[[int], bytes]
    source: str = "api"
    key: KeyKind = "server"
    limits: Limits = Limits()
    trigger_age_max: int | None = None
    accepted_at: AcceptedAt = None


def prepare(
    payload: bytes, *, kind: Kind | Literal["batch"], terms: Terms, received_at: Instant
) -> Prepared:
    """Read and check one request.

    Raises:
        InvalidEvent: If the envelope cannot be read; a wrong item is a rejected answer instead.
    """
    items = read_batch(payload, terms.limits) if kind == "batch" else read_call(payload, kind)
    return prepare_items(items, terms=terms, received_at=received_at)


def prepare_items(items: list[Read], *, terms: Terms, received_at: Instant) -> Prepared:
    """Check items that are read already."""
    answers: list[Answer] = []
    facts: list[tuple[int, Fact]] = []
    for place, item in enumerate(items):
        try:
            if isinstance(item, InvalidEvent):
                raise item
            ignored = item.unknown if isinstance(item, CarefulCall) else []
            fact = _fact(item, ignored, terms, received_at)
        except InvalidEvent as error:
            answers.append(Answer("rejected", field=error.field, message=str(error)))
            continue
        answers.append(Answer("accepted", ignored=ignored) if ignored else ACCEPTED)
        facts.append((place, fact))
    return Prepared(answers, facts)


_any: Final = msgspec.json.Decoder()
_encoder: Final = msgspec.json.Encoder()
_NO_CONTEXT: Final = (b"", b"{}")


def _fact(call: Call, ignored: list[str], terms: Terms, received_at: Instant) -> Fact:
    kind = call.type
    if kind not in KINDS:
        raise InvalidEvent(
            f"type: found {str(kind)[:40]!r}, allowed are {', '.join(KINDS)}", field="type"
        )
    _check_size(call, terms.limits)
    user_id = check_id(call.user_id, field="userId")
    anonymous_id = check_id(call.anonymous_id, field="anonymousId")
    previous_id = None
    if kind == "alias":
        previous_id = check_id(call.previous_id, field="previousId")
        if not (user_id and previous_id):
            missing = "previousId" if user_id else "userId"
            raise InvalidEvent(f"{missing}: alias needs userId and previousId", field=missing)
    elif not (user_id or anonymous_id):
        raise InvalidEvent("userId: userId or anonymousId is required", field="userId")
    message_id = check_id(
        call.message_id, field="messageId", characters_max=MESSAGE_ID_CHARACTERS_MAX
    )
    at = _when(call, received_at)
    name = check_name(call.event, field="event") if kind == "track" else EVENT_NAMES[kind]
    text, properties = _properties(call, kind)
    expected = terms.declared.events.get(name)
    pii_properties = None
    if expected:
        check_declared(properties, expected, field="properties")
        pii_properties = _pii_among(properties, expected)
        if pii_properties and terms.key == "browser":
            for each in pii_properties:
                del properties[each]
                ignored.append(f"properties.{each}")
            text, pii_properties = _encoder.encode(properties).decode(), None
    _raise_flaw(call, "context")
    context = EMPTY if bytes(call.context) in _NO_CONTEXT else enrich(bytes(call.context))
    fact = Fact(
        hash=message_hash(terms.source, message_id or terms.entropy(16).hex()),
        kind=kind,
        name=name,
        user_id=user_id,
        anonymous_id=anonymous_id,
        previous_id=previous_id,
        at=at,
        accepted_at=at if terms.accepted_at == "event" else terms.accepted_at,
        trigger_age_max=terms.trigger_age_max,
        is_server=terms.key == "server",
        properties=text,
        context=(
            with_ids(context.text, user_id, anonymous_id)
            if name == EXPERIMENT_VIEWED
            else context.text
        ),
        traits=None,
        open_properties=properties if pii_properties else None,
        pii_properties=pii_properties or None,
    )
    if context.traits is not None or context.consent is not None or kind == "identify":
        fact.proof = f"messageId {message_id}" if message_id else ""
        _take_traits(fact, call, context, ignored, terms)
    return fact


def _check_size(call: Call, limits: Limits) -> None:
    total = len(call.properties) + len(call.context) + len(call.traits)
    if total <= limits.event_bytes_max:
        return
    sizes = {name: len(getattr(call, name)) for name in ("properties", "context", "traits")}
    largest = max(sizes, key=sizes.__getitem__)
    raise InvalidEvent(
        f"{largest}: the event has {total:,} bytes; at most {limits.event_bytes_max:,} are allowed",
        field=largest,
    )


def _when(call: Call, received_at: Instant) -> Instant:
    """When it happened by our clock: receivedAt - (sentAt - originalTimestamp), as Segment does."""
    field = "timestamp" if call.original_timestamp is None else "originalTimestamp"
    given = call.timestamp if call.original_timestamp is None else call.original_timestamp
    original = check_instant(given, field=field)
    sent = check_instant(call.sent_at, field="sentAt")
    if original is None:
        return received_at
    at = original if sent is None else received_at - (sent - original)
    return check_when(at, received_at=received_at, field=field)


def with_ids(context: str, user_id: str | None, anonymous_id: str | None) -> str:
    """A context that says by which ids its event came: what an exposure may be of.

    Whatever the sender wrote there itself is replaced.
    """
    values = _any.decode(context)
    ids = {"user": user_id, "anonymous": anonymous_id}
    values["ids"] = {name: id for name, id in ids.items() if id is not None}
    return _encoder.encode(values).decode()


def _raise_flaw(call: Call, field: str) -> None:
    if isinstance(call, CarefulCall) and field in call.flaws:
        raise call.flaws[field]


def _object(call: Call, field: Literal["properties", "traits"]) -> dict[str, Any]:
    """The properties or traits, decoded and checked."""
    _raise_flaw(call, field)
    raw = call.properties if field == "properties" else call.traits
    if not len(raw):
        return {}
    data = bytes(raw)
    try:
        value = _any.decode(data)
    except UnicodeDecodeError:
        raise InvalidEvent(f"{field}: is not UTF-8", field=field) from None
    except msgspec.MsgspecError as error:
        raise InvalidEvent(f"{field}: {error}", field=field) from None
    except RecursionError:
        raise InvalidEvent(f"{field}: nested too deep", field=field) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidEvent(f"{field}: an object is required", field=field)
    check_json(data, value, field=field)
    return value


def _properties(call: Call, kind: Kind) -> tuple[str, dict[str, Any]]:
    """The properties as text, kept as sent where nothing is added, and decoded."""
    properties = _object(call, "properties")
    if kind == "track" or kind == "identify":
        return (bytes(call.properties).decode() if properties else "{}"), properties
    if kind == "alias":
        properties["previousId"] = str(call.previous_id)
    elif kind == "group":
        properties["groupId"] = check_id(call.group_id, field="groupId")
        if properties["groupId"] is None:
            raise InvalidEvent("groupId: is required", field="groupId")
        properties["traits"] = _object(call, "traits")
    else:
        for field, value in (("name", call.name), ("category", call.category)):
            if value is not None and value != "":
                properties[field] = check_name(value, field=field)
    return _encoder.encode(properties).decode(), properties


def _pii_among(values: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Field]:
    return {
        name: field
        for name, field in fields.items()
        if (field.is_pii or _has_pii_inside(field)) and values.get(name) is not None
    }


def _has_pii_inside(field: Field) -> bool:
    return any(it.is_pii or _has_pii_inside(it) for it in field.inside.values())


def _take_traits(
    fact: Fact, call: Call, context: Context, ignored: list[str], terms: Terms
) -> None:
    """Set the fact's traits and consent; what a browser may not say is dropped and named."""
    traits: dict[str, Any] = {}
    consents: list[tuple[str, Any]] = []
    if context.consent is not None:
        consents.append(("context.consent", context.consent))
    given = [("context.traits", context.traits)]
    if fact.kind == "identify":
        given.append(("traits", _object(call, "traits")))
    for field, values in given:
        if values is None:
            continue
        if not isinstance(values, dict):
            raise InvalidEvent(f"{field}: an object is required", field=field)
        for name, value in values.items():
            if name == "consent":
                consents.append((f"{field}.consent", value))
            elif name.startswith("$") or len(name) > NAME_CHARACTERS_MAX:
                ignored.append(f"{field}.{name[:60]}")
            else:
                declared = terms.declared.traits.get(name)
                where = f"{field}.{name}"
                if declared is not None and declared.is_pii and terms.key == "browser":
                    ignored.append(where)
                    continue
                _check_trait(value, declared, field=where)
                traits[name] = value
    consent = read_consents(consents, ignored, declared=terms.declared, key=terms.key)
    if terms.declared.double:
        proof = proof_of(context.consent_proof) if terms.key == "server" else ""
        fact.proof = proof or fact.proof
        fact.requested = None if proof else held_back(consent, terms.declared.double) or None
    fact.consent = consent or None
    declared_traits = terms.declared.traits
    sealable = {
        name: declared_traits[name]
        for name, value in traits.items()
        if value is not None and name in declared_traits and declared_traits[name].is_pii
    }
    if consent:
        traits["$consent"] = consent
    if sealable:
        fact.open_traits, fact.pii_traits = traits, sealable
    elif traits:
        fact.traits = _encoder.encode(traits).decode()


def _check_trait(value: Any, declared: Field | None, *, field: str) -> None:
    if isinstance(value, dict) and ("$sealed" in value or "$blind" in value):
        raise InvalidEvent(f"{field}: keys $sealed and $blind are ours", field=field)
    if isinstance(value, str) and value.startswith("blind:"):
        raise InvalidEvent(f'{field}: values that start with "blind:" are ours', field=field)
    if declared is not None and value is not None:
        check_type(value, declared, field=field)
