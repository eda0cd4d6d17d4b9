"""Every campaign that is applied or has people inside: state, version, how many they are."""

from collections import defaultdict
from typing import NamedTuple

from campaigns.compile import campaign_versions
from engine.core.model.instants import Instant
from engine.release import operating, releases
from engine.release.operating import Standing
from engine.store.connection import Connection


class Called(NamedTuple):
    """One campaign. `state` is what it is played as; `held`, `why` and `since` are an operator's,
    or those of a limit that was passed (`by`).

    `version` is the applied one, "" of a campaign that was removed while people are inside.
    """

    name: str
    state: str
    version: str
    n_inside: int
    n_older: int
    held: str
    why: str
    since: Instant
    by: str


def campaigns(connection: Connection) -> list[Called]:
    """All of them by name; empty before the first release."""
    live = releases.live(connection)
    if live is None:
        return []
    workspace = releases.workspace_of(connection, live.digest)
    versions = campaign_versions(workspace)
    inside: dict[str, dict[str, int]] = defaultdict(dict)
    for name, version, count in connection.execute(
        "SELECT campaign, version, count(*) FROM enrollment WHERE status = 'active' "
        "GROUP BY campaign, version"
    ):
        inside[name][version] = int(count)
    standings = operating.standings(connection)
    found: list[Called] = []
    for name in sorted({*workspace.campaigns, *inside}):
        form = workspace.campaigns.get(name)
        version = versions.get(name, "")
        by = standings.get(name, Standing())
        state = operating.state_played(form.state if form else "removed", by.held)
        n_inside = sum(inside[name].values())
        n_older = n_inside - inside[name].get(version, 0)
        found.append(
            Called(name, state, version, n_inside, n_older, by.held, by.why, by.since, by.by)
        )
    return found
