"""Where a campaign's `migrate:` leads: checked, and as what the core follows."""

from collections.abc import Iterator

from campaigns.conditions import Conditions
from campaigns.migrate_forms import NONE
from campaigns.problems import advice
from campaigns.schema import CampaignFile
from campaigns.step_forms import walk
from campaigns.workspace import Workspace
from engine.core.model.campaigns import Move


def moves_of(workspace: Workspace, *, release: int, versions: dict[str, str]) -> Iterator[Move]:
    """How applying a workspace brings people of older versions to its own.

    Args:
        versions: The workspace's own, by campaign.
    """
    for name, form in workspace.campaigns.items():
        migrate = form.migrate
        if migrate is not None and migrate.from_ != NONE:
            steps = {str(old): str(new) for old, new in migrate.steps.items()}
            yield Move(release, name, versions[name], str(migrate.from_), steps)


def check_migrate(conditions: Conditions, form: CampaignFile) -> None:
    """Report what leads to a step that the journey does not have."""
    migrate = form.migrate
    if migrate is None:
        return
    known = [name for name, _ in walk(form.journey)]
    for old, new in migrate.steps.items():
        if str(new) not in known:
            conditions.report(
                form.file,
                new.line,
                str(new),
                f'migrate leads from "{old}" to "{new}", which is no step of this journey.'
                f"{advice(new, known)}",
            )
    if migrate.steps and migrate.from_ == NONE:
        conditions.report(
            form.file,
            migrate.line,
            NONE,
            "migrate: {from: none} moves nobody, so its steps mean nothing. Delete them, or write "
            "from: any.",
        )
