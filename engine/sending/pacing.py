"""What the domains of recipients let through, asked before an attempt begins.

A message whose domain takes no more for now goes back to the queue with a turn of its own; those
behind it, of other domains, pass.
"""

from collections.abc import Sequence

from channels.mailboxes import OTHER, label_of
from engine.core.model.instants import Instant
from engine.sending.ready import Ready, Verdict
from engine.sending.routes import Route


def paced(
    route: Route, made: "Sequence[Ready]", verdicts: "list[Verdict]", *, now: Instant
) -> "list[Ready]":
    """Those whose domain may be called now; the others get their verdict."""
    domains = route.domains
    if domains is None:
        return list(made)
    found = []
    for it in made:
        at = domains.grant(it.domain, now=now) if it.domain else now
        if at <= now:
            found.append(it)
            continue
        label = label_of(it.domain, named=route.named_domains)
        name = "its domain" if label == OTHER else label
        is_resting = domains.rests_until(it.domain, now=now) > now
        why = f"{name} asked us to slow down" if is_resting else f"the rate of {name}"
        verdicts.append((it.queued.id, "queued", why, at))
    return found


def given_back(route: Route, *, granted: "Sequence[Ready]", ready: "Sequence[Ready]") -> None:
    """Free what was granted to messages that are not called after all."""
    if route.domains is None:
        return
    called = {it.queued.id for it in ready}
    for it in granted:
        if it.domain and it.queued.id not in called:
            route.domains.drop(it.domain)
