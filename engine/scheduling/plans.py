"""What runs when, according to the live release: the schedules of its files and our own."""

from typing import Final

import msgspec

from campaigns.model_compile import refreshes_of
from campaigns.schedule_forms import BUILT_IN, MODEL_REFRESH, ScheduledForm
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
    model: str = ""


_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder(Plan).decode


def plans_of(workspace: Workspace) -> dict[str, Plan]:
    """Every schedule by name, without those that are paused."""
    settings = workspace.settings
    given = {str(name): form for name, form in settings.schedules.items()}
    refreshed = refreshes_of(workspace)
    usual = {**BUILT_IN, **{name: it.times for name, it in refreshed.items()}}
    found: dict[str, Plan] = {}
    for name in dict.fromkeys((*usual, *given)):
        form = given.get(name) or ScheduledForm()
        times = form.times(usual.get(name))
        assert times is not None, name  # `check` has refused it
        if not form.paused:
            found[name] = Plan(
                job=form.run or (MODEL_REFRESH if name in refreshed else name),
                times=times,
                zone=str(form.zone or settings.zone),
                grace=form.grace,
                campaign=str(form.campaign or ""),
                audience=str(form.audience or ""),
                model=refreshed[name].model if name in refreshed else "",
            )
    return found


def encode(plan: Plan) -> str:
    """A plan as the table keeps it: equal plans are equal texts."""
    return _encode(plan).decode()


def decode(text: str) -> Plan:
    """What `encode` wrote."""
    return _decode(text)
