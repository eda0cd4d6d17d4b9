"""How many messages a cap allows one person, and when that began to count.

A cap that tries several limits draws one for each profile, by hash and in equal shares, under the
seed of its experiment's phase: the limits of other caps, their order and their number move nobody.
Who was exposed keeps their limit (rule 2); who is not covered, and whoever's limit is tried no
more, has the control's, which is the cap's `max`.

Exposed is who the cap is asked about, for the first time, whatever it says: until then every limit
lets the same messages through, so the instant is the same under all of them. A ghost counts like a
message: a cap is about a person and not about one campaign, and the gate asks it for both alike.
That dilutes an effect by the share that is held out, and biases none. Transactional messages meet
no cap and expose nobody. Source: `language.md`, rules 2 and 3. Read next: `policy`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from engine.core.model.campaigns import Cap, Experiment, Program
from engine.core.model.effects import Expose
from engine.core.model.gates import Draft
from engine.core.model.people import Enrollment, Exposed, Person
from engine.core.scene import Scene
from experiments.assignment import assign


class Drawn(NamedTuple):
    """The limit of one person under one cap that tries several.

    Attributes:
        variant: The experiment's, "" for whoever is not drawn (then the limit is the control's).
        probability: Its share of those who take part; 0 where nothing is drawn any more.
        is_exposed: Whether the person was exposed before.
    """

    experiment: Experiment
    variant: str
    limit: int
    probability: float
    is_exposed: bool


def limit_of(cap: Cap, person: Person, *, program: Program) -> int:
    """The most messages that a cap allows this person in any window of its length."""
    return drawn(cap, person, program=program).limit if cap.tries else cap.max


def drawn(cap: Cap, person: Person, *, program: Program) -> Drawn:
    """What a person drew.

    Raises:
        KeyError: If the cap tries nothing, so that it has no experiment.
    """
    it = program.experiments[cap.name, program.phases[cap.name]]
    limits = {each.name: int(each.value) for each in it.variants}
    known = person.state.exposures.get(cap.name)
    if it.state == "draft":
        return Drawn(it, "", cap.max, 0.0, known is not None)
    if it.state == "stopped":
        return Drawn(it, "", limits.get(it.winner, cap.max), 0.0, known is not None)
    if known is not None:
        return Drawn(it, known.variant, limits.get(known.variant, cap.max), 0.0, True)
    given = assign(
        str(person.profile.id),
        seed=it.seed,
        variants=tuple(limits),
        weights=tuple(each.weight for each in it.variants),
        coverage=it.coverage,
    )
    if given.variant is None:
        return Drawn(it, "", cap.max, 0.0, False)
    return Drawn(it, given.variant, limits[given.variant], given.probability, False)


def is_about(cap: Cap, draft: Draft) -> bool:
    """Whether a cap is asked about a message."""
    return cap.channel in (None, draft.channel) and cap.topic in (None, draft.topic.name)


def expose_to_caps(scene: Scene, enrollment: Enrollment, draft: Draft) -> None:
    """Record the draw of each cap that is asked about a draft, once for each person and cap.

    To be called when nothing but caps, hours and windows can still keep the draft back.
    """
    for cap in trying(scene.program):
        if not is_about(cap, draft):
            continue
        it = drawn(cap, scene.person, program=scene.program)
        if it.is_exposed or not it.variant:
            continue
        scene.state.exposures[cap.name] = Exposed(it.variant, it.experiment.phase, scene.now)
        scene.effects.append(
            Expose(
                cap.name, it.experiment.phase, it.variant, scene.now, it.probability,
                enrollment.campaign, enrollment.id,
            )
        )  # fmt: skip


def trying(program: Program) -> Iterator[Cap]:
    """The caps that try several limits."""
    return (cap for cap in program.caps if cap.tries)
