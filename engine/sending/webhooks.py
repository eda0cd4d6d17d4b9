"""The lane of webhook steps: whether a program has any, and who makes their calls."""

import random
from pathlib import Path
from typing import Literal

from channels import open_provider
from channels.base import Clock, Provider
from engine.core.model.campaigns import Program
from engine.core.model.steps import Webhook
from engine.store.queue import WEBHOOK


def calls_webhooks(program: Program) -> bool:
    """Whether any version that people may be inside calls a URL."""
    return any(
        isinstance(step, Webhook)
        for campaign in (*program.campaigns.values(), *program.pinned.values())
        for step in campaign.steps.values()
    )


def open_webhooks(
    provider: Literal["http", "sandbox"], *, now: Clock, is_local: bool = False
) -> Provider:
    """Whoever makes the calls; `is_local` lets them reach this machine, by http too."""
    return open_provider(
        WEBHOOK,
        provider,
        {"local": is_local},
        directory=Path(),
        rng=random.SystemRandom(),
        now=now,
    )
