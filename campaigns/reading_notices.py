"""What is allowed but worth knowing of how an experiment will be read, and by which clients.

Refuses nothing: each notice names the line that changes it.
"""

from collections.abc import Iterator

from campaigns.experiment_plans import Found, Served, planned
from campaigns.problems import Problem
from campaigns.workspace import Workspace

OPENED = "Message Opened"


def reading_notices(workspace: Workspace) -> Iterator[Problem]:
    """Tests without an end, opens that would decide, looks at a bandit, what SDKs lack."""
    for found in planned(workspace):
        yield from _without_an_end(found)
        yield from _judged_by_opens(found, workspace)
        if found.bandit is not None and found.analysis.method == "group_sequential":
            message = (
                f'the looks of "{found.name}" are planned by how many units there are, but what is '
                "known of a bandit's arms also depends on the weights it chose, and its earlier "
                "looks are not kept. Write method: sequential, which needs no looks."
            )
            yield Problem(found.file, found.name.line, "method", message)
        if isinstance(found, Served) and found.given("hash") == "s256":
            message = (
                f'"{found.name}" is drawn by s256, which no SDK computes: it is left out of their '
                "payload and served by OFREP and remote evaluation. For SDKs too: hash: 2."
            )
            yield Problem(found.file, found.name.line, "hash", message)


def _without_an_end(found: Found) -> Iterator[Problem]:
    it = found.analysis
    ends = (it.ends, it.runs, it.planned_sample)
    if it.method in ("fixed", "bayesian") and all(end is None for end in ends):
        message = (
            f'"{found.name}" is read by method: {it.method}, which is valid for one look, and has '
            "no planned end, so nothing hides its numbers until then. Write runs: 4w, or "
            "planned_sample; or method: sequential, to look at any time."
        )
        yield Problem(found.file, found.name.line, "method", message)


def _judged_by_opens(found: Found, workspace: Workspace) -> Iterator[Problem]:
    if found.metrics is None or found.analysis.opens_may_decide:
        return
    for name in found.metrics.primary:
        metric = workspace.metrics.get(name)
        if metric is not None and str(metric.event or "") == OPENED:
            message = (
                f'"{name}" counts opens, most of which machines make: "{found.name}" shows it as '
                "exploratory, and it decides nothing. Make a conversion primary, or write "
                "analysis: {opens_may_decide: true}."
            )
            yield Problem(found.file, name.line, "primary", message)
