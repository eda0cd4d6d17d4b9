"""The names under which steps save what they were answered, for templates and later steps.

Read next: `step_values`, which lets expressions read them.
"""

from collections.abc import Iterator

from campaigns.step_forms import PICKS, JourneyStep, RecommendStep, WebhookStep, walk
from campaigns.workspace import Workspace


def saved_in(steps: list[JourneyStep]) -> Iterator[str]:
    """The names under which webhooks of a journey save their answers, and recommenders theirs,
    unless it is the usual one."""
    for _, step in walk(steps):
        if isinstance(step, WebhookStep) and step.webhook.save_as is not None:
            yield str(step.webhook.save_as)
        elif isinstance(step, RecommendStep) and step.recommend.as_ != PICKS:
            yield str(step.recommend.as_)


def saved_names(workspace: Workspace) -> frozenset[str]:
    """Every name under which a step of the workspace saves an answer."""
    campaigns = workspace.campaigns.values()
    return frozenset(name for campaign in campaigns for name in saved_in(campaign.journey))
