"""Commits checked facts: dedupe, identity, sealing, rows, in one transaction for many requests.

Everything here happens inside the caller's transaction, so nothing may be answered before that is
committed. Reads are in bulk, rows are tuples; what one fact costs is what its pages cost. Read
next: `commit`, which groups requests; `identity`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from engine.core.model.instants import Instant
from engine.intake.consent_requests import request
from engine.intake.declared import Field
from engine.intake.identity import Identities, Resolved
from engine.intake.prepare import DUPLICATE, Answer, Fact, Prepared
from engine.store import identities
from engine.store.bulk import insert, reserve
from engine.store.connection import Connection, Row
from engine.store.events import MERGE, OLD, OURS, EventLog, message_hash
from engine.vault import DataKey, Vault

MERGE_EVENT: Final = "Profile Merged"
_CONSENT_COLUMNS: Final = (
    "id", "profile_id", "channel", "topic", "granted", "at", "source", "proof",
)  # fmt: skip
_encoder: Final = msgspec.json.Encoder()


class Ingest:
    """What a process that accepts events keeps between transactions.

    Args:
        zone: The workspace's zone, which a new profile starts in.
    """

    def __init__(self, *, vault: Vault, log: EventLog, zone: str = "UTC") -> None:
        self._vault = vault
        self._log = log
        self._identities = Identities(new_data_key=lambda it: vault.new_data_key(it)[1], zone=zone)

    @property
    def zone(self) -> str:
        """The workspace's zone, which a new profile starts in; it may change with a release."""
        return self._identities.zone

    @zone.setter
    def zone(self, zone: str) -> None:
        self._identities.zone = zone

    def commit(
        self, connection: Connection, groups: Sequence[Prepared], *, now: Instant
    ) -> list[list[Answer]]:
        """Write the facts of many requests; give each request its answers, final once committed.

        Of several items with one messageId the first wins, here and in the dedupe window.
        """
        answers = [group.answers.copy() for group in groups]
        facts: list[Fact] = []
        places: list[tuple[int, int]] = []
        known = self._log.known(
            connection, [fact.hash for group in groups for _, fact in group.facts], now=now
        )
        for number, group in enumerate(groups):
            for place, fact in group.facts:
                if fact.hash in known:
                    answers[number][place] = DUPLICATE
                    continue
                known.add(fact.hash)
                facts.append(fact)
                places.append((number, place))
        if not facts:
            return answers
        resolved = self._identities.resolve(connection, facts, now=now)
        for index, part in resolved.refused.items():
            _ignore(answers, places[index], [part])
        sealed = self._seal(connection, facts, resolved)
        for index, texts in sealed.items():
            if texts.dropped:
                _ignore(answers, places[index], texts.dropped)
        self._log.append(connection, list(_rows(facts, resolved, sealed, now)), now=now)
        _record_consent(connection, facts, resolved, now)
        asked = [
            (profile_id, channel, topic)
            for fact, profile_id in zip(facts, resolved.profile_ids, strict=True)
            for channel, topic in fact.requested or ()
        ]
        if asked:
            request(connection, asked, log=self._log, now=now)
        return answers

    def forget(self) -> None:
        """Drop what is remembered, after a transaction that was undone or may have been."""
        self._identities.forget()

    def _seal(
        self, connection: Connection, facts: Sequence[Fact], resolved: Resolved
    ) -> dict[int, "_Sealed"]:
        """The texts of facts with personal values, by place; the facts stay as they are."""
        open_facts = [i for i, fact in enumerate(facts) if fact.pii_traits or fact.pii_properties]
        if not open_facts:
            return {}
        wrapped = resolved.data_keys.copy()
        others = {resolved.profile_ids[i] for i in open_facts} - wrapped.keys()
        wrapped |= identities.data_keys(connection, list(others))
        keys = {
            profile_id: self._vault.unwrap(profile_id, wrapped[profile_id])
            for profile_id in {resolved.profile_ids[i] for i in open_facts} & wrapped.keys()
        }
        return {i: self._sealed(facts[i], keys.get(resolved.profile_ids[i])) for i in open_facts}

    def _sealed(self, fact: Fact, key: DataKey | None) -> "_Sealed":
        properties, traits, dropped = fact.properties, fact.traits, list[str]()
        if fact.open_traits is not None and fact.pii_traits:
            traits = self._with_seals(fact.open_traits, fact.pii_traits, key, "traits", dropped)
        if fact.open_properties is not None and fact.pii_properties:
            properties = self._with_seals(
                fact.open_properties, fact.pii_properties, key, "properties", dropped
            )
        return _Sealed(properties, traits, dropped)

    def _with_seals(
        self,
        values: dict[str, Any],
        pii: dict[str, Field],
        key: DataKey | None,
        where: str,
        dropped: list[str],
    ) -> str:
        changed = values.copy()
        for name, field in pii.items():
            if key is None:  # erased: what could be read again must not come back
                del changed[name]
                dropped.append(f"{where}.{name}")
            else:
                changed[name] = self._vault.seal_value(
                    key, values[name], name=name, kind=field.type
                )
        return _encoder.encode(changed).decode()


class _Sealed(Struct):
    properties: str
    traits: str | None
    dropped: list[str]


def _ignore(answers: list[list[Answer]], place: tuple[int, int], parts: list[str]) -> None:
    number, item = place
    before = answers[number][item]
    answers[number][item] = Answer(before.status, ignored=[*before.ignored, *parts])


def _rows(
    facts: Sequence[Fact], resolved: Resolved, sealed: dict[int, _Sealed], now: Instant
) -> Iterator[Row]:
    """Event rows without `seq`; a merge comes right before the event that caused it."""
    merges = iter(resolved.merges)
    merge = next(merges, None)
    for index, (fact, profile_id) in enumerate(zip(facts, resolved.profile_ids, strict=True)):
        accepted_at = now if fact.accepted_at is None else fact.accepted_at
        while merge is not None and merge.before == index:
            yield (
                message_hash("merge", str(merge.loser)),
                merge.winner,
                MERGE_EVENT,
                fact.at,
                accepted_at,
                MERGE,
                f'{{"loser":{merge.loser}}}',
                "{}",
                None,
            )
            merge = next(merges, None)
        age = fact.trigger_age_max
        texts = sealed.get(index, fact)
        flags = OLD if age is not None and accepted_at - fact.at > age else 0
        if fact.is_ours:
            flags |= OURS
        yield (
            fact.hash,
            profile_id,
            fact.name,
            fact.at,
            accepted_at,
            flags,
            texts.properties,
            fact.context,
            texts.traits,
        )


def _record_consent(
    connection: Connection, facts: Sequence[Fact], resolved: Resolved, now: Instant
) -> None:
    changes = [
        (profile_id, channel, topic, int(granted), fact.at, fact.kind, fact.proof)
        for fact, profile_id in zip(facts, resolved.profile_ids, strict=True)
        if fact.consent
        for channel, topics in fact.consent.items()
        for topic, granted in topics.items()
    ]
    if changes:
        first = reserve(connection, "consent_change", len(changes))
        rows = [(number, *change) for number, change in enumerate(changes, start=first)]
        insert(connection, "consent_change", _CONSENT_COLUMNS, rows)
