"""What a training is given: the log as of an instant, who belongs to it, the seed, the champion."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaigns.models import Learning
from engine.core.errors import StoreError
from engine.core.model.instants import Instant
from engine.learning.refusals import Refused
from engine.release.playbook import Playbook
from engine.store.connection import Connection
from engine.store.models import ModelRun

if TYPE_CHECKING:
    import numpy as np

    from engine.learning.artifact import Artifact


log = logging.getLogger("antiphon.learning")


@dataclass(frozen=True)
class Material:
    """What a training is given.

    Attributes:
        connection: One snapshot of the database for the whole of it.
        as_of: Nothing later is read.
        present: Now; who is in a segment is asked of its members where `as_of` is not past.
        champion: What is read now, if anything is.
        clock: Microseconds that only go forward, to bound searches by.
        config_hash: Of the definition that is learnt by.
    """

    connection: Connection
    playbook: Playbook
    learning: Learning
    as_of: Instant
    present: Instant
    seed: int
    champion: ModelRun | None
    clock: Callable[[], int]
    config_hash: str = ""

    @property
    def zone(self) -> str:
        """The workspace's own, for people of whom none is known."""
        return str(self.playbook.workspace.settings.zone)

    def rng(self) -> "np.random.Generator":
        """The one source of randomness of this training."""
        import numpy as np

        return np.random.default_rng(self.seed)

    def before(self) -> "Artifact | None":
        """What the champion has learnt, where it is kept and can be read.

        One that is damaged must not keep the next from being trained: it is as if it were gone.
        """
        from engine.learning.registry import learnt

        if self.champion is None or not self.champion.has_artifact:
            return None
        try:
            return learnt(self.connection, self.champion.model, self.champion.run)
        except StoreError as error:
            log.warning("%s, run %s: %s", self.champion.model, self.champion.run, error)
            return None

    def among(self, segment: str, *, at: Instant) -> Sequence[int] | None:
        """The profiles inside a segment at an instant, ascending; None for everybody.

        Raises:
            Refused: If nobody is inside, or the segment is not live.
        """
        if not segment:
            return None
        from engine.asof import Zones, members_at
        from engine.membership import member_ids

        segments = self.playbook.segments
        if segment not in segments.names:
            raise Refused(
                f'the segment "{segment}" is not live', "apply the workspace that declares it"
            )
        if at >= self.present:
            found = member_ids(self.connection, segments, segment, now=at)
        else:
            settings = self.playbook.workspace.settings
            zones = Zones(settings.zones, str(settings.zone))
            members = members_at(self.connection, segments, segment, at=at, zones=zones)
            found = sorted(int(it.then.profile.id) for it in members)
        if not found:
            raise Refused(
                f'nobody is in the segment "{segment}"', "widen it, or learn of everybody"
            )
        return found
