"""One step's message to one address, now: composed and sent as the outbox would, recorded nowhere.

It asks no gate, since nobody's consent is asked for an operator's own inbox; only the workspace's
test mode holds here too. No row is written, so nothing that comes back about it is believed.
"""

import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec
from msgspec import structs

from campaigns.problems import advice
from campaigns.step_forms import FirstPossibleStep, SendFacts, SendStep, walk
from campaigns.workspace import Workspace
from channels import open_provider
from channels.addresses import normal_email, normal_phone
from channels.base import OutMessage, Receipt
from channels.calls import Answer
from channels.http_provider import HttpProvider, Vendor
from engine.core.errors import UsageError
from engine.core.model.instants import NEVER, Instant
from engine.release.checking import Checked
from engine.release.playbook import Playbook
from engine.sending.composing import TRAIT_OF, Links, Unsendable, compose
from engine.settings import DIRECTORY
from engine.steady import present
from engine.store.queue import Addressee, Queued
from engine.vault import Vault

TRIAL: Final = 0
"""The id of a message that has no row; no real one has it."""

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Tried:
    """What came of it. `answer` is the provider's own, where it speaks HTTP and there was one."""

    provider: str
    message: OutMessage
    receipt: Receipt
    answer: Answer | None


def trial_message(
    checked: Checked,
    campaign: str,
    step: str,
    *,
    to: str,
    traits: Mapping[str, Any],
    event: Mapping[str, Any],
    public_url: str,
    now: Instant,
) -> tuple[str, OutMessage]:
    """(channel, message): what a step would send to this address.

    Raises:
        UsageError: There is no such step, the address is none, or a value is missing.
    """
    workspace = checked.workspace
    send = _found(workspace, campaign, step)
    kind = workspace.channel_kind(str(send.channel))
    address = _address(kind, to)
    known = {**traits, **({TRAIT_OF[kind]: address} if kind in TRAIT_OF else {})}
    form = workspace.campaigns[campaign]
    queued = Queued(
        id=TRIAL,
        profile_id=TRIAL,
        enrollment_id=TRIAL,
        campaign=campaign,
        step=step,
        variant="",
        channel=kind,
        topic=str(send.topic or form.topic or ""),
        template=str(send.template),
        template_hash="",
        expires_at=NEVER,
        context=_encode(
            {
                "event": event,
                "campaign": {"name": campaign, "title": str(form.title or campaign)},
                "variants": {},
            }
        ).decode(),
        at=now,
        due_at=now,
        lane=0,
        account=str(send.channel),
    )
    person = Addressee(
        id=TRIAL,
        external_id="trial",
        zone=str(known.get("timezone") or checked.program.zone),
        traits=_encode(known).decode(),
        sealed="{}",
        addresses="{}",
        consent="{}",
        data_key=None,
        merged_into=None,
        erased_at=None,
    )
    try:
        composed = compose(
            queued,
            person,
            playbook=_playbook(checked),
            # Nothing is sealed and nothing kept: a key of the moment does.
            vault=Vault({1: secrets.token_hex(16)}, entropy=secrets.token_bytes),
            keys={},
            links=Links(public_url, secrets.token_bytes(16)),
            now=now,
        )
    except Unsendable as error:
        raise UsageError(f"{campaign}/{step} cannot be made: {error}") from None
    # Each trial is a message of its own: a provider that honours keys would answer with the first.
    return str(send.channel), structs.replace(composed.message, idempotency_key=str(uuid4()))


async def send_trial(
    workspace: Workspace, channel: str, message: OutMessage, *, directory: Path
) -> Tried:
    """Hand a message to its channel's provider.

    Raises:
        UsageError: The provider cannot work with its settings.
    """
    form = workspace.settings.channels[channel]  # type: ignore[index]
    kind = workspace.channel_kind(channel)
    provider = open_provider(
        kind,
        str(form.provider),
        form.settings,
        directory=directory / DIRECTORY,
        rng=random.SystemRandom(),
        now=present,
    )
    heard = _Overheard(provider.vendor) if isinstance(provider, HttpProvider) else None
    if heard is not None and isinstance(provider, HttpProvider):
        provider.vendor = heard
    try:
        receipt = await provider.deliver(message)
    finally:
        await provider.close()
    return Tried(provider.name, message, receipt, heard.answer if heard is not None else None)


class _Overheard:
    """A vendor whose last answer is kept, so that it can be shown as it came."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self.answer: Answer | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vendor, name)

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        self.answer = answer
        return self._vendor.receipt(answer, now=now)


def _found(workspace: Workspace, campaign: str, step: str) -> SendFacts:
    if campaign not in workspace.campaigns:
        hint = advice(campaign, map(str, workspace.campaigns))
        raise UsageError(f'there is no campaign "{campaign}".{hint}')
    sends = {
        name: each.send
        for name, each in walk(workspace.campaigns[campaign].journey)
        if isinstance(each, SendStep)
    }
    if step in sends:
        return sends[step]
    steps = dict(walk(workspace.campaigns[campaign].journey))
    found = steps.get(step)
    if isinstance(found, FirstPossibleStep):
        inside = ", ".join(name for name in sends if name.startswith(f"{step}."))
        raise UsageError(f'"{step}" sends by the first channel that it can; name one: {inside}')
    what = f'"{step}" of {campaign} sends nothing' if found else f'{campaign} has no step "{step}"'
    raise UsageError(f"{what}.{advice(step, sends)}")


def _address(kind: str, to: str) -> str:
    try:
        if kind == "email":
            return normal_email(to)
        if kind == "sms":
            return normal_phone(to)
    except ValueError as error:
        raise UsageError(f"--to: {error}") from None
    return to


def _playbook(checked: Checked) -> Playbook:
    return Playbook(
        workspace=checked.workspace,
        program=checked.program,
        segments=checked.segments,
        templates=checked.templates,
        evaluate=lambda *_, **__: None,
        features_at=lambda _: frozenset(),
        feeds=checked.feeds,
    )
