"""What runs when, according to the live release: the schedules of its files and our own."""

from typing import Final

import msgspec

from campaigns.schedule_forms import BUILT_IN, ScheduledForm
from campaigns.workspace import Workspace
from engine.schedule import Times


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """One schedule: the job, when it fires, and how late (microseconds) a run may still begin."""

    job: str
    times: Times
    zone: str
    grace: int
    campaign: str = ""
    audience: str = ""


_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder(Plan).decode


def plans_of(workspace: Workspace) -> dict[str, Plan]:
    """Every schedule by name, without those that are paused."""
    settings = workspace.settings
    given = {str(name): form for name, form in settings.schedules.items()}
    found: dict[str, Plan] = {}
    for name in dict.fromkeys((*BUILT_IN, *given)):
        form = given.get(name) or ScheduledForm()
        times = form.times(BUILT_IN.get(name))
        assert times is not None, name  # `check` has refused it
        if not form.paused:
            found[name] = Plan(
                job=form.run or name,
                times=times,
                zone=str(form.zone or settings.zone),
                grace=form.grace,
                campaign=str(form.campaign or ""),
                audience=str(form.audience or ""),
            )
    return found


def encode(plan: Plan) -> str:
    """A plan as the table keeps it: equal plans are equal texts."""
    return _encode(plan).decode()


def decode(text: str) -> Plan:
    """What `encode` wrote."""
    return _decode(text)
