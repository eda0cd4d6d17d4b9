"""A new release may need features that a profile never kept: build them from its own history.

Applying a release wakes every profile once; each builds what it lacks when it is next played, in
the batch that plays it. So a changed definition backfills at the engine's pace while events keep
coming in, and a profile's verdicts change in one transaction.
"""

from collections.abc import Mapping

from engine.playbook import Playbook
from engine.store.connection import Connection
from engine.store.events import COLUMNS, OWN
from engine.store.people import Loaded
from engine.wire import decode

_HISTORY = (
    "SELECT seq, profile_id, name, at, accepted_at, flags, properties, context, traits FROM event "
    f"WHERE profile_id IN (?) AND (seq <= ? OR flags = {OWN}) ORDER BY seq"
)
assert set(_HISTORY.split(" FROM ")[0].removeprefix("SELECT ").split(", ")) <= set(COLUMNS)


def rebuild_features(
    connection: Connection, loaded: Mapping[int, Loaded], playbook: Playbook, *, up_to: int
) -> None:
    """Fold each profile's played history into the features that its last release did not keep.

    Args:
        up_to: The last event already played; later ones come through `play`, but for those of
            our own, which were played when they were written.
    """
    wanted = playbook.segments.feature_keys
    missing: dict[int, frozenset[str]] = {}
    for profile_id, it in loaded.items():
        state = it.person.state
        if it.person.is_new or state.release == playbook.program.release:
            continue
        lacking = wanted - playbook.features_at(state.release)
        for key in lacking:
            state.features.pop(key, None)  # folding anew must not count twice
        if lacking:
            missing[profile_id] = lacking
    for row in connection.select_in(_HISTORY, list(missing), (up_to,)):
        person = loaded[row[1]].person
        playbook.segments.observe(person.state.features, decode(row).event, only=missing[row[1]])
