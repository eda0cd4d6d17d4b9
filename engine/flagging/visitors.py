"""Who asks for flags: from what a request says of itself to what assignment needs to know.

A person is read as the engine last left them: their segments, holdouts and exposures. An id that
leads to nobody is evaluated by its hash alone, for holdouts as for variants; it is in no segment,
since segments are of profiles.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from engine.core.assigning import Asked, Ids, unit_of
from engine.core.model.instants import Instant, ProfileId
from engine.core.model.people import Exposed, Person, Profile, State
from engine.core.segments import Segments, compile_segments
from engine.flagging.catalog import Catalog
from engine.store import identities, people
from engine.store.connection import Connection

Kind = Literal["user", "anonymous"]
NO_SEGMENTS: Final[Segments] = compile_segments({}, session_gap=1)

_SHOWN = (
    "SELECT unit, variant, phase, at FROM exposure WHERE experiment = ? AND unit IN (?) "
    "AND unit <> ''"
)


class Visitor(NamedTuple):
    """Who is asked about, as far as the request says.

    Attributes:
        user, anonymous: Ids of the caller's, "" where absent.
        targeting: An id of whichever kind the experiment draws by.
        attributes: What the client says of itself.
        proved: Those of them for which the caller may speak as for a user: their profile counts.
    """

    user: str = ""
    anonymous: str = ""
    targeting: str = ""
    attributes: Mapping[str, Any] = {}
    proved: tuple[str, ...] = ()

    @property
    def ids(self) -> Ids:
        return Ids(self.user or self.targeting, self.anonymous or self.targeting)

    @property
    def is_nobody(self) -> bool:
        return not (self.user or self.anonymous or self.targeting)

    @property
    def leads(self) -> Iterator[tuple[Kind, str]]:
        """Where a profile may be found, best first."""
        yield from (("user", id) for id in self.proved)
        # Anonymous ids are random and stand on one device: whoever has one may ask with it.
        yield from (("anonymous", id) for id in (self.anonymous, self.targeting) if id)


def asked_of(
    connection: Connection,
    visitors: Sequence[Visitor],
    *,
    catalog: Catalog,
    segments: Segments,
    names: Iterable[str],
    now: Instant,
) -> list[Asked]:
    """What is known of each of these visitors, from one snapshot.

    Args:
        names: The experiments that will be asked for, with all they require.
    """
    known = _profiles(connection, visitors)
    loaded = people.load(
        connection,
        sorted({id for id in known if id is not None}),
        models=segments.news.models,
    )
    found = []
    for visitor, id in zip(visitors, known, strict=True):
        person = loaded[id].person if id is not None and id in loaded else None
        found.append(
            Asked(
                catalog.program,
                catalog.roster,
                NO_SEGMENTS if person is None else segments,
                person or _stranger(catalog),
                now,
                ids=visitor.ids,
                attributes=visitor.attributes,
            )
        )
    shown = _shown(connection, found, catalog=catalog, names=names)
    return [each._replace(shown=shown) for each in found]


def _stranger(catalog: Catalog) -> Person:
    return Person(Profile(ProfileId(0), catalog.program.zone), State(), is_new=True)


def _profiles(connection: Connection, visitors: Sequence[Visitor]) -> list[int | None]:
    leads = [tuple(it.leads) for it in visitors]
    found: dict[tuple[str, str], int] = {}
    kinds: tuple[Kind, ...] = ("user", "anonymous")
    for kind in kinds:
        wanted = sorted({id for all_ in leads for each, id in all_ if each == kind})
        if wanted:
            rows = identities.find(connection, kind, wanted)
            found |= {(kind, id): profile for id, profile in rows.items()}
    return [next((found[lead] for lead in all_ if lead in found), None) for all_ in leads]


def _shown(
    connection: Connection, asked: Sequence[Asked], *, catalog: Catalog, names: Iterable[str]
) -> Callable[[str, str], Exposed | None]:
    """The first exposure of each unit that is no profile, by any profile of it."""
    first: dict[tuple[str, str], Exposed] = {}
    for name in names:
        arms = catalog.roster.arms.get(name)
        if arms is None or arms.experiment.unit == "profile" or not arms.experiment.is_sticky:
            continue
        units = {unit for it in asked if (unit := unit_of(arms.experiment, it))}
        for unit, exposed in first_shown(connection, name, units).items():
            first[name, unit] = exposed
    return lambda experiment, unit: first.get((experiment, unit))


def first_shown(
    connection: Connection, experiment: str, units: Iterable[str]
) -> dict[str, Exposed]:
    """The first exposure of each of these units that has one; units are no profiles."""
    found: dict[str, Exposed] = {}
    wanted = sorted(filter(is_storable, units))
    for unit, variant, phase, at in connection.select_in(_SHOWN, wanted, (experiment,)):
        earlier = found.get(unit)
        if earlier is None or (int(at), int(phase)) < (earlier.at, earlier.phase):
            found[unit] = Exposed(variant, int(phase), int(at))
    return found


def is_storable(text: str) -> bool:
    """Whether a database could hold this text at all: no NUL, no half of a surrogate pair."""
    return "\0" not in text and (
        text.isascii() or not any("\ud800" <= it <= "\udfff" for it in text)
    )
