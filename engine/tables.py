"""The whole database, one section a noun, readable from top to bottom.

Instants are integer microseconds since the epoch (UTC). Ids are integers handed out in blocks by
`counter`, so that rows of one time lie together and pages are dirtied once. Nothing here moves
data: hot paths write plain tuples (`engine.store`), SQLModel sessions serve reading and
administration. Migrations are proved equal to this file.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.sql.elements import quoted_name
from sqlmodel import Field, SQLModel

EVENTS_PER_PART = 500_000
CONTACT_CLOSED = "(suppressed IS NOT NULL OR withdrawn <> '[]')"
"""Of a contact: something may not be sent to it. Word for word in queries, or no index is used."""

TROUBLE = "(kind = 'complained' OR bounce = 'hard')"
"""Of a delivery event: what pauses a campaign when there is much of it. Word for word, too."""

Id = BigInteger().with_variant(Integer, "sqlite")
"""SQLite makes only an INTEGER primary key the row's own number; a BIGINT costs a second tree."""


def _key() -> Any:
    """A primary key handed out by `counter`, never by the database."""
    return Field(sa_column=Column(Id, primary_key=True, autoincrement=False))


def _text_key() -> Any:
    return Field(sa_column=Column(Text, primary_key=True))


def _instant(*, optional: bool = False) -> Any:
    return Field(sa_column=Column(BigInteger, nullable=optional))


def _number() -> Any:
    return Field(sa_column=Column(BigInteger, nullable=False))


def _text(*, optional: bool = False) -> Any:
    return Field(sa_column=Column(Text, nullable=optional))


def _bytes(*, optional: bool = False) -> Any:
    return Field(sa_column=Column(LargeBinary, nullable=optional))


# --- the house itself ---------------------------------------------------------------------------


class Setting(SQLModel, table=True):
    """One fact about this database that must survive restarts (`key_check`, `created_at`)."""

    __tablename__ = "setting"
    name: str = _text_key()
    value: str = _text()


class Counter(SQLModel, table=True):
    """The last id handed out per noun. Taking a block locks the row until commit: on PostgreSQL
    that makes the order of `event.seq` the order of commits."""

    __tablename__ = "counter"
    name: str = _text_key()
    value: int = _number()


class Partition(SQLModel, table=True):
    """A share of the profiles (id modulo the number of partitions) and who may write for it.

    `position` is the last event played. `attempts` counts tries of the batch after it, counted
    before it is tried, so that a batch that kills the process is found out.
    """

    __tablename__ = "partition"
    number: int = _key()
    owner: str = _text()
    epoch: int = _number()
    lease_until: int = _instant()
    position: int = _number()
    attempts: int = _number()


class Worker(SQLModel, table=True):
    """A process that shares the partitions with others, and until when it counts as alive."""

    __tablename__ = "worker"
    owner: str = _text_key()
    lease_until: int = _instant()


class WriteKey(SQLModel, table=True):
    """A key of the tracking API; only its hash is kept. `kind` is server or browser."""

    __tablename__ = "write_key"
    id: str = _text_key()
    kind: str = _text()
    label: str = _text()
    hash: bytes = _bytes()
    created_at: int = _instant()
    revoked_at: int | None = _instant(optional=True)


class Schedule(SQLModel, table=True):
    """A recurring job as the live release has it, and when it fires next; null: never again.

    `definition` is JSON (`engine.scheduling.plans.Plan`). `native` is the definition for which
    Prefect was given a schedule of its own, "" for none (0.4).
    """

    __tablename__ = "schedule"
    name: str = _text_key()
    definition: str = _text()
    next_at: int | None = _instant(optional=True)
    native: str = _text()


class ScheduleRun(SQLModel, table=True):
    """One firing of one recurring job; the primary key lets only one process claim it.

    `held_until`: whoever claimed it is alive until then; after it another may take it, until
    `tries` are used up. `engine` is who runs it: embedded or prefect. `result` says what came of
    it, in words.
    """

    __tablename__ = "schedule_run"
    schedule: str = _text_key()
    fire_at: int = _key()
    claimed_by: str = _text()
    finished_at: int | None = _instant(optional=True)
    held_until: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0"))
    tries: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="1"))
    engine: str = Field(sa_column=Column(Text, nullable=False, server_default="embedded"))
    result: str = Field(sa_column=Column(Text, nullable=False, server_default=""))


class Leader(SQLModel, table=True):
    """The one process that does `duty` for all of them, while it lives (0.4)."""

    __tablename__ = "leader"
    duty: str = _text_key()
    owner: str = _text()
    held_until: int = _instant()


# --- people -------------------------------------------------------------------------------------


class Profile(SQLModel, table=True):
    """A person. `external_id` is the id the caller uses: the user id, else the anonymous one.

    `traits` is JSON; a pii trait stands there as "blind:<hex>" and in `sealed` encrypted under
    `data_key`. `addresses` maps channel to the address hash (hex) that leads to `contact`.
    """

    __tablename__ = "profile"
    id: int = _key()
    external_id: str = _text()
    created_at: int = _instant()
    zone: str = _text()
    zone_from: str = _text()
    traits: str = _text()
    sealed: str = _text()
    addresses: str = _text()
    consent: str = _text()
    data_key: bytes | None = _bytes(optional=True)
    merged_into: int | None = _instant(optional=True)
    erased_at: int | None = _instant(optional=True)


class Identity(SQLModel, table=True):
    """An id that leads to a profile. `kind` is user or anonymous."""

    __tablename__ = "identity"
    __table_args__ = (Index("identity_profile", "profile_id"),)
    kind: str = _text_key()
    value: str = _text_key()
    profile_id: int = _number()
    created_at: int = _instant()


class ProfileState(SQLModel, table=True):
    """What the core remembers of a profile (`core.model.people.State`)."""

    __tablename__ = "profile_state"
    profile_id: int = _key()
    state: bytes = _bytes()


class StateDictionary(SQLModel, table=True):
    """What long states are compressed with. `mark` is the hash of the content; never deleted."""

    __tablename__ = "state_dictionary"
    mark: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    content: bytes = _bytes()
    made_at: int = _instant()


class Timer(SQLModel, table=True):
    """The one instant at which a profile must be looked at again, if nothing happens before."""

    __tablename__ = "timer"
    __table_args__ = ({"sqlite_with_rowid": False},)
    due: int = _key()
    profile_id: int = _key()


class Membership(SQLModel, table=True):
    """Who is inside which segment now, and since when."""

    __tablename__ = "membership"
    __table_args__ = ({"sqlite_with_rowid": False},)
    segment: str = _text_key()
    profile_id: int = _key()
    since: int = _instant()


class Contact(SQLModel, table=True):
    """What may reach one address. Withdrawals update this row, attempts lock it first.

    `suppressed` is the reason, `suppressed_by` who gave it, `suppressed_until` its end if it has
    one. `withdrawn` is a JSON list of topics, "*" for all marketing; `stopped_at` is set while "*"
    stands there only because of a text STOP, which START takes back. Found by keyed hash only.
    The few that are not open are in an index of their own, the one that a batch asks.
    """

    __tablename__ = "contact"
    __table_args__ = (
        Index(
            "contact_closed",
            "address_hash",
            unique=True,  # it is anyway, and so the planner prefers this index to the key
            sqlite_where=text(CONTACT_CLOSED),
            postgresql_where=text(CONTACT_CLOSED),
        ),
    )
    address_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    channel: str = _text()
    suppressed: str | None = _text(optional=True)
    suppressed_at: int | None = _instant(optional=True)
    suppressed_until: int | None = _instant(optional=True)
    suppressed_by: str | None = _text(optional=True)
    withdrawn: str = _text()
    stopped_at: int | None = _instant(optional=True)
    updated_at: int = _instant()


class AddressHolder(SQLModel, table=True):
    """Whose number a phone number is: all the profiles that had it, to know who texts us.

    A pair stays when a profile gets another number; who reads it looks at the profile, too.
    """

    __tablename__ = "address_holder"
    __table_args__ = ({"sqlite_with_rowid": False},)
    address_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    profile_id: int = _key()


class SoftBounce(SQLModel, table=True):
    """When an address could not take a message for now; several messages make it rest a while."""

    __tablename__ = "soft_bounce"
    __table_args__ = ({"sqlite_with_rowid": False},)
    address_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    message_id: int = _key()
    at: int = _key()


class ConsentChange(SQLModel, table=True):
    """The ledger of consent: who, channel, topic, when, and what proves it. Never changed.

    `text_version` names the words that the person read, where they read ours.
    """

    __tablename__ = "consent_change"
    __table_args__ = (Index("consent_change_profile", "profile_id"),)
    id: int = _key()
    profile_id: int = _number()
    channel: str = _text()
    topic: str = _text()
    granted: int = Field(sa_column=Column(SmallInteger, nullable=False))
    at: int = _instant()
    source: str = _text()
    proof: str = _text()
    text_version: str = Field(sa_column=Column(Text, nullable=False, server_default=""))


class ConsentRequest(SQLModel, table=True):
    """A consent that counts once its person has confirmed it by the link they were sent.

    `asked_at` begins its days; `mailed_at` is the last request that led to a message, `n_mailed`
    how many did. The row goes when it is confirmed.
    """

    __tablename__ = "consent_request"
    profile_id: int = _key()
    channel: str = _text_key()
    topic: str = _text_key()
    asked_at: int = _instant()
    mailed_at: int = _instant()
    n_mailed: int = _number()


# --- events -------------------------------------------------------------------------------------


class Event(SQLModel, table=True):
    """A dated fact, in the first of the parts `event_1`, `event_2`, … that the view `event` joins.

    Random keys dirty a page each, so every part has its own indexes and no more than
    EVENTS_PER_PART rows. `message_hash` is the first 16 bytes of SHA-256(source, messageId):
    unique here, and looked up in every part that is younger than the dedupe window.
    `flags`: 1 = too old to start a journey, 2 = our own and already played, 4 = a merge, 8 = our
    own, to be played (an API trigger, a webhook's answer).
    """

    __tablename__ = "event_1"
    __table_args__ = (
        Index("event_1_message", "message_hash", unique=True),
        Index("event_1_profile", "profile_id", "at"),
    )
    seq: int = _key()
    message_hash: bytes = _bytes()
    profile_id: int = _number()
    name: str = _text()
    at: int = _instant()
    accepted_at: int = _instant()
    flags: int = Field(sa_column=Column(SmallInteger, nullable=False))
    properties: str = _text()
    context: str = _text()
    traits: str | None = _text(optional=True)


def event_part(number: int) -> Table:
    """The table of one part of the event log, made from the declaration above."""
    first: Table = SQLModel.metadata.tables["event_1"]
    if number == 1:
        return first
    name = f"event_{number}"
    known = SQLModel.metadata.tables.get(name)
    if known is not None:
        return known
    part = first.to_metadata(MetaData(), name=name)
    for index in part.indexes:
        index.name = quoted_name(str(index.name).replace("event_1_", f"{name}_"), None)
    return part


# --- journeys and messages ----------------------------------------------------------------------


class Enrollment(SQLModel, table=True):
    """One profile's passage through one campaign version.

    `status` is active until the passage ends: done (ran off its end), exited (exit step,
    exit_when, left the audience) or dropped (closed by a merge or an operator). `memory` is JSON of
    what its steps keep (`rounds`, `saved`), "" while there is nothing.
    """

    __tablename__ = "enrollment"
    __table_args__ = (Index("enrollment_profile", "profile_id"),)
    id: int = _key()
    profile_id: int = _number()
    campaign: str = _text()
    version: str = _text()
    key: str = _text()
    status: str = _text()
    entered_at: int = _instant()
    step: str | None = _text(optional=True)
    step_at: int = _instant()
    due_at: int = _instant()
    visit: int = _number()
    trigger_seq: int = _number()
    trigger: str = _text()
    variants: str = _text()
    held_by: str = _text()
    message: int | None = _instant(optional=True)
    reason: str = _text()
    memory: str = Field(sa_column=Column(Text, nullable=False, server_default=""))


class Message(SQLModel, table=True):
    """What we send, would have sent, or decided not to send, and why, in a marketer's words.

    `status`: deferred (a gate said not now) -> queued -> attempting (an attempt row is committed)
    -> sent (the provider accepted) | unknown (no one can tell) | failed (refused for good);
    or ghost (held out), dropped (a gate said no, or it expired). Only the outbox moves a message
    that is queued or attempting. `lane` is 0 for transactional messages, which go first, else 1.
    `channel` is the kind of channel, `account` the name of the channel that sends it.
    """

    __tablename__ = "message"
    __table_args__ = (
        Index("message_step", "enrollment_id", "step", "visit", unique=True),
        Index(
            "message_queue",
            "account",
            "lane",
            "due_at",
            "id",
            sqlite_where=Column("status") == "queued",
            postgresql_where=Column("status") == "queued",
        ),
    )
    id: int = _key()
    profile_id: int = _number()
    enrollment_id: int = _number()
    campaign: str = _text()
    version: str = _text()
    step: str = _text()
    visit: int = _number()
    variant: str = _text()
    channel: str = _text()
    topic: str = _text()
    template: str = _text()
    template_hash: str = _text()
    status: str = _text()
    reason: str = _text()
    held_by: str = _text()
    at: int = _instant()
    due_at: int = _instant()
    expires_at: int = _instant()
    context: str = _text()
    lane: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="1"))
    account: str = Field(sa_column=Column(Text, nullable=False, server_default=""))


class Deferral(SQLModel, table=True):
    """One "not now" that a gate said to a message, kept after the message went out."""

    __tablename__ = "deferral"
    __table_args__ = ({"sqlite_with_rowid": False},)
    message_id: int = _key()
    at: int = _key()
    until: int = _instant()
    why: str = _text()


class Attempt(SQLModel, table=True):
    """One call of a provider, committed before the call. `outcome` is "" until it is known:
    accepted, refused, throttled, not_sent or ambiguous. `address_hash` is where it went: what comes
    back later is about that address, whichever the profile has by then. `account` is the channel
    that was called ("" before 0.3: the message's own), `domain` a well-known mailbox provider's or
    `other`, `bounce` the class of a refusal that said something of the address."""

    __tablename__ = "attempt"
    __table_args__ = (
        Index(
            "attempt_provider_id",
            "provider_id",
            sqlite_where=text("provider_id <> ''"),
            postgresql_where=text("provider_id <> ''"),
        ),
        Index("attempt_account", "account", "started_at"),
        Index(
            "attempt_hard",
            "started_at",
            sqlite_where=text("bounce = 'hard'"),
            postgresql_where=text("bounce = 'hard'"),
        ),
    )
    message_id: int = _key()
    number: int = _key()
    provider: str = _text()
    started_at: int = _instant()
    finished_at: int | None = _instant(optional=True)
    outcome: str = _text()
    provider_id: str = _text()
    detail: str = _text()
    body_digest: str = _text()
    address_hash: bytes | None = _bytes(optional=True)
    account: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    domain: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    bounce: str = Field(sa_column=Column(Text, nullable=False, server_default=""))


class Delivery(SQLModel, table=True):
    """The furthest that verified provider callbacks say a message came; never moves back."""

    __tablename__ = "delivery"
    message_id: int = _key()
    status: str = _text()
    at: int = _instant()
    opened_at: int | None = _instant(optional=True)
    clicked_at: int | None = _instant(optional=True)


class DeliveryEvent(SQLModel, table=True):
    """Provider callbacks already taken in, by hash of (provider, their event id). `bounce` is the
    class that a failure gave."""

    __tablename__ = "delivery_event"
    __table_args__ = (
        Index("delivery_event_message", "message_id"),
        Index(
            "delivery_event_trouble",
            "at",
            sqlite_where=text(TROUBLE),
            postgresql_where=text(TROUBLE),
        ),
    )
    event_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    message_id: int = _number()
    kind: str = _text()
    at: int = _instant()
    bounce: str = Field(sa_column=Column(Text, nullable=False, server_default=""))


class LinkClick(SQLModel, table=True):
    """A link of ours that somebody or something followed, for as long as it is not clear which.

    `second` is that of `at`: the same link within one is the same click. `sign` is what its
    request showed of a machine, "" for nothing. `is_told`: its event has been written.
    """

    __tablename__ = "link_click"
    __table_args__ = (
        Index("link_click_at", "is_told", "at"),
        {"sqlite_with_rowid": False},
    )
    message_id: int = _key()
    link: int = _key()
    second: int = _key()
    sign: str = _text_key()
    at: int = _instant()
    is_told: int = Field(sa_column=Column(SmallInteger, nullable=False))


class Placement(SQLModel, table=True):
    """A web message that its visitor may be shown until `expires_at` (0.3).

    `placement` is the slot of the page, `kind` in-page, banner or modal. `body` is the cleaned
    HTML, sealed under the profile's data key. What ends it before its time stands in
    `delivery_event`, `delivery` and the consent ledger, and is asked when it is read.
    """

    __tablename__ = "placement"
    __table_args__ = (
        Index("placement_profile", "profile_id"),
        Index("placement_expires", "expires_at"),
    )
    message_id: int = _key()
    profile_id: int = _number()
    placement: str = _text()
    kind: str = _text()
    priority: int = Field(sa_column=Column(SmallInteger, nullable=False))
    at: int = _instant()
    expires_at: int = _instant()
    body: str = _text()


class StrayReport(SQLModel, table=True):
    """A verified report that is of no use yet: its kind has no name here, or its message is not
    known by the provider's id (its own answer may be on the way). The newest are kept.

    `body` is JSON of the report in our words, with the provider's own; addresses are masked.
    """

    __tablename__ = "stray_report"
    __table_args__ = (
        Index("stray_report_event", "event_hash", unique=True),
        Index("stray_report_provider_id", "provider_id"),
    )
    id: int = _key()
    event_hash: bytes = _bytes()
    channel: str = _text()
    provider: str = _text()
    provider_id: str = _text()
    message_id: int = _number()
    kind: str = _text()
    body: str = _text()
    received_at: int = _instant()


class Parked(SQLModel, table=True):
    """A poison item: tried five times, then put aside with its reason so that others go on."""

    __tablename__ = "parked"
    id: int = _key()
    kind: str = _text()
    profile_id: int = _number()
    ref: int = _number()
    reason: str = _text()
    attempts: int = _number()
    payload: str = _text()
    parked_at: int = _instant()
    replayed_at: int | None = _instant(optional=True)


class Idempotency(SQLModel, table=True):
    """The first answer to a call that must happen once, by (scope, the caller's key)."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("idempotency_at", "at"),)
    scope: str = _text_key()
    name: str = _text_key()
    body_digest: str = _text()
    answer: str = _text()
    at: int = _instant()


# --- what models say ----------------------------------------------------------------------------


class ModelRun(SQLModel, table=True):
    """One run of a model. Its champion is what segments read; `cuts` is JSON of its percentiles.

    `status`: loading (rows are being written) -> champion -> retired -> swept (its rows are gone);
    or candidate (trained, and not better than what is there), or refused (there was nothing to
    learn, `verdict` says why). `as_of` is what was known to it, `parent` the champion it was
    measured against, `retrain_by` the instant by which somebody erased must be out of it (0.5).
    """

    __tablename__ = "model_run"
    model: str = _text_key()
    run: int = _key()
    kind: str = _text()
    status: str = _text()
    created_at: int = _instant()
    cuts: str = _text()
    as_of: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0"))
    config_hash: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    data_hash: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    code_version: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    seed: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0"))
    metrics: str = Field(sa_column=Column(Text, nullable=False, server_default="{}"))
    verdict: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    parent: int | None = _instant(optional=True)
    retrain_by: int | None = _instant(optional=True)


class ModelArtifact(SQLModel, table=True):
    """A piece of what a run has learnt: arrays and a schema (`engine.learning.artifact`, 0.5)."""

    __tablename__ = "model_artifact"
    model: str = _text_key()
    run: int = _key()
    part: int = _key()
    data: bytes = _bytes()


class ModelScore(SQLModel, table=True):
    """What one run says of one profile (`engine.core.model.people.Score`).

    `detail` is JSON, "" for none: why the score is what it is, or the label that waits (0.5).
    """

    __tablename__ = "model_score"
    __table_args__ = ({"sqlite_with_rowid": False},)
    profile_id: int = _key()
    model: str = _text_key()
    run: int = _key()
    value: float = Field(sa_column=Column(Float, nullable=False))
    percentile: float = Field(sa_column=Column(Float, nullable=False))
    label: str = _text()
    detail: str = Field(sa_column=Column(Text, nullable=False, server_default=""))


# --- what operators did -------------------------------------------------------------------------


class Operation(SQLModel, table=True):
    """What an operator did to a construct, beside its version: a campaign paused or drained.

    It survives `apply`, and `plan` shows it as drift. `state` is JSON (`engine.release.operating`).
    """

    __tablename__ = "operation"
    noun: str = _text_key()
    name: str = _text_key()
    state: str = _text()
    why: str = _text()
    at: int = _instant()


# --- versions and experiments -------------------------------------------------------------------


class Release(SQLModel, table=True):
    """One state of what is played: an applied workspace, or what an operator changed beside it.

    `kind` is apply, rollback or operation; `summary` is a JSON list of what changed, in words.
    `bundle` is the workspace's files, compressed; empty where an earlier release holds the same
    digest's. Every profile meets each release once (`engine.core.play`).
    """

    __tablename__ = "release"
    number: int = _key()
    digest: str = _text()
    applied_at: int = _instant()
    bundle: bytes = _bytes()
    kind: str = Field(sa_column=Column(Text, nullable=False, server_default="apply"))
    summary: str = Field(sa_column=Column(Text, nullable=False, server_default="[]"))


class Backfill(SQLModel, table=True):
    """The one release that is being prepared, or whose drafts are not all taken up yet.

    `stage` is preparing (people's drafts are written; the release before it is live), waking (it
    is live; those it concerns are being made due), settling (the others too, while there is time)
    or refused (it could not go live; `why` says it). `kind` is what asked for it (as in `release`).
    `after` is the last profile the stage is done with and `last` the one the preparing ends at.
    Once live, `release` is its number and `features` a JSON list of all its keys. `since` is when
    the preparing began, then when it went live.
    """

    __tablename__ = "backfill"
    id: int = _key()
    stage: str = _text()
    kind: str = _text()
    why: str = _text()
    bundle: bytes = _bytes()
    digest: str = _text()
    features: str = _text()
    after: int = _number()
    last: int = _number()
    release: int = _number()
    since: int = _instant()


class Draft(SQLModel, table=True):
    """What a release being prepared will remember of a profile, until the profile takes it up.

    `features` (msgpack) has folded every event up to `position`, and our own up to `seq`; null
    where nothing was drafted. `concerns` is 1 where going live must not wait for the next event.
    """

    __tablename__ = "draft"
    profile_id: int = _key()
    position: int = _number()
    seq: int = _number()
    concerns: int = Field(sa_column=Column(SmallInteger, nullable=False))
    features: bytes | None = _bytes(optional=True)


class CampaignVersion(SQLModel, table=True):
    """Which release first held a campaign version; people inside finish on theirs."""

    __tablename__ = "campaign_version"
    campaign: str = _text_key()
    version: str = _text_key()
    release: int = _number()


class CampaignMove(SQLModel, table=True):
    """How a release brings people of older versions to its own: the `migrate:` of its file.

    `origin` is the version they come from, or any; `steps` is JSON, old step to new step.
    """

    __tablename__ = "campaign_move"
    release: int = _key()
    campaign: str = _text_key()
    version: str = _text()
    origin: str = _text()
    steps: str = _text()


class ExperimentPhase(SQLModel, table=True):
    """One phase of one experiment. Seed, weights and arms never change within it.

    `plan` is the analysis plan as it was frozen when the phase opened, in canonical JSON, and
    `plan_hash` its SHA-256 (hex); "" for phases that opened before 0.4.
    """

    __tablename__ = "experiment_phase"
    experiment: str = _text_key()
    phase: int = _key()
    seed: str = _text()
    digest: str = _text()
    definition: str = _text()
    started_at: int = _instant()
    plan: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    plan_hash: str = Field(sa_column=Column(Text, nullable=False, server_default=""))


class BanditWeights(SQLModel, table=True):
    """What a bandit gave its arms from `since` on, until its next version; never changed.

    `weights` is a JSON object of whole numbers by variant, `contexts` one of such objects by the
    name of a context; `trained` is a JSON object of what they were learnt from. Version 1 is the
    first that was learnt; before it the planned weights hold.
    """

    __tablename__ = "bandit_weights"
    experiment: str = _text_key()
    phase: int = _key()
    version: int = _key()
    since: int = _instant()
    weights: str = _text()
    trained: str = _text()
    contexts: str = Field(sa_column=Column(Text, nullable=False, server_default="{}"))


class Exposure(SQLModel, table=True):
    """The first time an experiment's or holdout's assignment mattered for a unit.

    `unit` is "" where the unit is the profile, else its value: an account has a row for each of its
    people. `allocation` is the version of `bandit_weights` that `probability` comes from, 0 for the
    planned weights, and `context` the context that decided which of them. `source` is who saw it:
    journey, event or api. `flag` keeps a row out of the analysis: forced (a variant somebody chose
    by hand), held_out (shown all the same, by a client that could not know), off_plan (another
    variant than the assignment).
    """

    __tablename__ = "exposure"
    __table_args__ = (
        Index(
            "exposure_unit",
            "experiment",
            "unit",
            sqlite_where=text("unit <> ''"),
            postgresql_where=text("unit <> ''"),
        ),
        {"sqlite_with_rowid": False},
    )
    experiment: str = _text_key()
    phase: int = _key()
    profile_id: int = _key()
    unit: str = Field(sa_column=Column(Text, primary_key=True, server_default=""))
    variant: str = _text()
    at: int = _instant()
    probability: float = Field(sa_column=Column(Float, nullable=False))
    campaign: str = _text()
    enrollment_id: int = _number()
    would_allow: str = _text()
    allocation: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0"))
    source: str = Field(sa_column=Column(Text, nullable=False, server_default="journey"))
    flag: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    context: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
