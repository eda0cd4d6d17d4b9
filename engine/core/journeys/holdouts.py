"""Who is kept silent, and when that began to count.

Three holdouts nest: global, then programme, then campaign, each with its own seed, so they are
independent. Assignment is a pure hash until it first matters; from then on the stored exposure
wins, under "holdout:<name>" and, where a holdout has a period, "holdout:<name>@<period>".

Which exposures are written, at the first send that every gate allows (message and ghost alike):

- To the global holdout for everyone, held out or treated.
- To the programme's for everyone whom the global one did not hold.
- To the campaign's for everyone whom no outer one held.

So each holdout is analysed among the people it could still decide about, at the same instant on
both sides, and an outer holdout never dilutes an inner comparison. A transactional message skips
holdouts and so exposes nobody. Source: `language.md`, rule 3.
Read next: `sends`.
"""

from typing import Final

from engine.core.model.campaigns import Campaign, Experiment, Holdout, Program
from engine.core.model.effects import Expose
from engine.core.model.people import Enrollment, Exposed, Person
from engine.core.scene import Scene
from experiments.assignment import is_held_out

HELD_OUT: Final = "held_out"
TREATED: Final = "treated"


def holder_of(person: Person, campaign: Campaign, *, program: Program) -> str:
    """The outermost holdout that keeps this person from the campaign, or "" for none.

    One of "global", "programme:<name>" and the campaign's own name.
    """
    return _holder(person, _levels(campaign, program))


def holder_of_served(person: Person, experiment: Experiment, unit: str, *, program: Program) -> str:
    """The outermost holdout that keeps this unit from a served experiment, or "" for none.

    Profiles are held out as anywhere else. Any other unit is drawn by its own hash, known or not:
    by the profile, a stranger would change sides on becoming one. Nobody is exposed to a holdout
    by it: of the held out no client would ever tell.

    Args:
        unit: What the experiment draws, as text.
    """
    levels = _shared_levels(experiment.programme, program)
    if experiment.unit == "profile":
        return _holder(person, levels)
    return next((label for label, holdout in levels if _draws(unit, holdout)), "")


def _holder(person: Person, levels: list[tuple[str, Holdout]]) -> str:
    for label, holdout in levels:
        known = person.state.exposures.get(exposure_name(label, holdout))
        if known is not None:
            is_held = known.variant == HELD_OUT
        else:
            is_held = _draws(str(person.profile.id), holdout)
        if is_held:
            return label
    return ""


def _draws(unit: str, holdout: Holdout) -> bool:
    seed = f"{holdout.seed}@{holdout.period}" if holdout.period else holdout.seed
    return is_held_out(unit, seed=seed, share=holdout.share)


def expose_to_holdouts(scene: Scene, enrollment: Enrollment, campaign: Campaign) -> None:
    """Record that a send was allowed, once for each holdout that had a say in it."""
    exposures = scene.state.exposures
    for label, holdout in _levels(campaign, scene.program):
        is_held = enrollment.held_by == label
        name = exposure_name(label, holdout)
        if name not in exposures:
            variant = HELD_OUT if is_held else TREATED
            probability = holdout.share if is_held else 1 - holdout.share
            exposures[name] = Exposed(variant, 1, scene.now)
            scene.effects.append(
                Expose(name, 1, variant, scene.now, probability, campaign.name, enrollment.id)
            )
        if is_held:
            return


def exposure_name(label: str, holdout: Holdout) -> str:
    """The name under which a holdout's exposures are kept."""
    return f"holdout:{label}@{holdout.period}" if holdout.period else f"holdout:{label}"


def exposure_names(campaign: Campaign, program: Program) -> list[str]:
    """The names of every holdout a campaign lies under, outermost first."""
    return [exposure_name(label, holdout) for label, holdout in _levels(campaign, program)]


def _levels(campaign: Campaign, program: Program) -> list[tuple[str, Holdout]]:
    """The holdouts a campaign lies under, outermost first."""
    levels = _shared_levels(campaign.programme, program)
    if campaign.holdout is not None:
        levels.append((campaign.name, campaign.holdout))
    return levels


def _shared_levels(programme: str | None, program: Program) -> list[tuple[str, Holdout]]:
    """The holdouts that are not a campaign's own, outermost first."""
    levels = []
    if program.global_holdout is not None:
        levels.append(("global", program.global_holdout))
    if programme and programme in program.programme_holdouts:
        levels.append((f"programme:{programme}", program.programme_holdouts[programme]))
    return levels
