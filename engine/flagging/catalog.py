"""What a release serves: names, and the payload of each kind of key, made once per program.

The mark (`etag`) is of what decides, not of the release: applying other files than experiments
makes no client ask again. A bandit's new weights make another program, and so another mark.
"""

from functools import cached_property
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from engine.core.model.campaigns import Program
from engine.core.roster import Roster, roster_of
from engine.flagging.published import published, saved_groups
from engine.store.keys import KeyKind
from experiments.flags import payload_document, split_for_sdks

CATALOGS_MAX: Final = 4

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Published(NamedTuple):
    """The payload for SDKs as it goes over the wire, and why some experiments are not in it."""

    body: bytes
    etag: str
    left_out: dict[str, str]


class Catalog:
    """What one program serves.

    Attributes:
        names: Served experiments, in order.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.roster: Roster = roster_of(program)
        self.names: tuple[str, ...] = tuple(sorted(self.roster.served))
        self._published: dict[KeyKind, Published] = {}

    @cached_property
    def etag(self) -> str:
        """A mark of everything that decides, without quotes."""
        program = self.program
        decisive = [
            [self.roster.arms[name].experiment for name in sorted(self.roster.arms)],
            program.allocations,
            program.global_holdout,
            program.programme_holdouts,
            # Lists alone change what a segment holds without another phase of the experiment.
            [[name, sorted(each.values)] for name, each in sorted(program.lists.items())]
            if any(self.roster.arms[name].experiment.audience for name in self.names)
            else [],
        ]
        return _mark(_encode(decisive))

    def required_by(self, name: str) -> tuple[str, ...]:
        """The experiment and all it requires, directly or not."""
        found = [name]
        for each in found:
            arms = self.roster.arms.get(each)
            for other, _ in arms.experiment.requires if arms else ():
                if other not in found:
                    found.append(other)
        return tuple(found)

    def for_sdks(self, kind: KeyKind) -> Published:
        """The payload that a key of this kind may read."""
        found = self._published.get(kind)
        if found is None:
            found = self._published[kind] = self._publish(kind)
        return found

    def _publish(self, kind: KeyKind) -> Published:
        told, left_out = [], {}
        for name in self.names:
            served, why = published(self.roster.arms[name].experiment, self.program, kind)
            if served is None:
                left_out[name] = why
            else:
                told.append(served)
        # What requires something that is not told cannot be told either, in any number of steps.
        while lost := [
            (it, other.experiment)
            for it in told
            for other in it.requires
            if other.experiment not in {each.name for each in told}
        ]:
            it, other = lost[0]
            left_out[it.name] = f"it requires {other!r}, which clients cannot decide"
            told.remove(it)
        computed, reasons = split_for_sdks(told)
        left_out |= reasons
        document: dict[str, Any] = payload_document(computed)
        names = {each.name for each in computed}
        groups = {
            it.audience
            for it in (self.roster.arms[name].experiment for name in names)
            if it.audience and it.state == "live"
        }
        if groups:
            document["savedGroups"] = saved_groups(self.program, groups)
        if kind == "server" and left_out:
            document["leftOut"] = left_out
        body = _encode(document)
        return Published(body, f'"{_mark(body)}"', left_out)


_catalogs: dict[int, Catalog] = {}


def catalog_of(program: Program) -> Catalog:
    """The catalog of a program, built at most once while it is in use; by identity as rosters."""
    found = _catalogs.get(id(program))
    if found is None:
        while len(_catalogs) >= CATALOGS_MAX:
            _catalogs.pop(next(iter(_catalogs)), None)
        found = _catalogs[id(program)] = Catalog(program)
    return found


def _mark(data: bytes) -> str:
    return sha256(data).hexdigest()[:32]
