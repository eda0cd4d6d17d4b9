"""Assignments of whole audiences, page by page: each as `decide` would give it, most by columns.

Who was never exposed to the experiment or to a holdout above it is decided by hashes alone, and
those are taken for a page at once. Everybody else, and whatever asks more than hashes (segments,
requirements, a bandit), is decided one by one. `where` is not asked: nobody speaks for the units.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from engine.core.assigning import OUTSIDE, Asked, Ids, as_unit, decide
from engine.core.journeys.holdouts import exposure_name
from engine.core.model.campaigns import Holdout
from engine.core.model.instants import Instant, ProfileId
from engine.core.model.people import Exposed, Person, Profile, State
from engine.core.paths import follow
from engine.core.segments import Segments
from engine.flagging.catalog import Catalog
from engine.flagging.visitors import NO_SEGMENTS, first_shown
from engine.store import identities, people
from engine.store.connection import Connection
from experiments.assignment import HashVersion
from experiments.assignment.batch import assign_batch, in_layer_batch, is_held_out_batch

PAGE_UNITS: Final = 5_000
DRAWN: Final = "drawn"
KEPT: Final = "exposed before"

_VERSIONS: Final[dict[str, HashVersion]] = {"2": 2, "s256": "s256", "1": 1}
_MEMBERS: Final = (
    "SELECT m.profile_id, p.external_id FROM membership m JOIN profile p ON p.id = m.profile_id "
    "WHERE m.segment = ? AND m.profile_id > ? ORDER BY m.profile_id LIMIT ?"
)
_EVERYBODY: Final = (
    "SELECT profile_id FROM profile_state WHERE profile_id > ? ORDER BY profile_id LIMIT ?"
)
_EXPOSED: Final = (
    "SELECT DISTINCT profile_id FROM exposure "
    "WHERE experiment = ? AND phase = ? AND profile_id IN (?)"
)


class Line(Struct, frozen=True):
    """One unit's assignment. `id` is the caller's; `variant` None is outside, as `reason` says."""

    id: str
    variant: str | None
    probability: float
    reason: str


class Page(NamedTuple):
    """Units in work: what the caller calls each, the profile it leads to, and what is hashed."""

    ids: Sequence[str]
    profiles: Sequence[int | None]
    units: Sequence[str]


class Audience(NamedTuple):
    """How an experiment is asked for many: what is the same on every page."""

    catalog: Catalog
    segments: Segments
    name: str
    now: Instant


def page_of_units(connection: Connection, audience: Audience, ids: Sequence[str]) -> Page:
    """Units by what the experiment draws: user ids, anonymous ids, values of the trait; for
    profiles, ids of either kind."""
    unit = audience.catalog.roster.arms[audience.name].experiment.unit
    if unit not in ("profile", "user", "anonymous"):
        return Page(ids, [None] * len(ids), ids)
    kinds = (unit,) if unit != "profile" else ("user", "anonymous")
    found: dict[str, int] = {}
    for kind in reversed(kinds):  # a user id is asked first, so written last
        found |= identities.find(connection, kind, sorted(set(ids)))
    profiles = [found.get(id) for id in ids]
    if unit != "profile":
        return Page(ids, profiles, ids)
    return Page(ids, profiles, ["" if it is None else str(it) for it in profiles])


def pages_of_segment(
    connection: Connection, audience: Audience, segment: str, *, after: int = -1
) -> tuple[Page, int] | None:
    """The next members of a segment behind a profile, and where to go on; None at the end."""
    if segment not in audience.segments.when_read:
        rows = connection.execute(_MEMBERS, (segment, after, PAGE_UNITS))
        if not rows:
            return None
        profiles, ids = [int(row[0]) for row in rows], [str(row[1]) for row in rows]
        return _page_of_people(connection, audience, profiles, ids), profiles[-1]
    # Nobody keeps its members: everybody is asked, a page at a time.
    rows = connection.execute(_EVERYBODY, (after, PAGE_UNITS))
    if not rows:
        return None
    everybody = [int(row[0]) for row in rows]
    loaded = people.load(connection, everybody, models=audience.segments.news.models)
    inside = {
        id: it.person.profile.external_id
        for id, it in loaded.items()
        if audience.segments.evaluate(
            segment, it.person.state.features, it.person.profile, now=audience.now
        )[0]
    }
    profiles = sorted(inside)
    page = _page_of_people(connection, audience, profiles, [inside[it] for it in profiles])
    return page, everybody[-1]


def assigned(connection: Connection, audience: Audience, page: Page) -> list[Line]:
    """What each unit of a page is given, in order."""
    hashed = _by_columns(connection, audience, page) if _is_plain(audience) else {}
    rest = [place for place in range(len(page.ids)) if place not in hashed]
    hashed.update(_one_by_one(connection, audience, page, rest))
    return [hashed[place] for place in range(len(page.ids))]


def _page_of_people(
    connection: Connection, audience: Audience, profiles: list[int], ids: list[str]
) -> Page:
    unit = audience.catalog.roster.arms[audience.name].experiment.unit
    match unit:
        case "profile":
            return Page(ids, profiles, [str(it) for it in profiles])
        case "user":  # an external id is a user id only where it leads back
            found = identities.find(connection, "user", ids)
            named = zip(ids, profiles, strict=True)
            return Page(ids, profiles, [id if found.get(id) == it else "" for id, it in named])
        case "anonymous":
            return Page(ids, profiles, [""] * len(ids))
        case path:
            loaded = people.load(connection, profiles)
            parts = path.split(".")[1:]
            units = [
                as_unit(follow(loaded[it].person.profile.traits, parts)) if it in loaded else None
                for it in profiles
            ]
            return Page(ids, profiles, [it or "" for it in units])


def _is_plain(audience: Audience) -> bool:
    """Whether hashes alone decide about whoever was never exposed."""
    it = audience.catalog.roster.arms[audience.name].experiment
    return (
        it.state == "live"
        and it.bandit is None
        and it.namespace is None
        and not (it.requires or it.audience or it.forced)
    )


def _by_columns(connection: Connection, audience: Audience, page: Page) -> dict[int, Line]:
    """The lines of those whom hashes alone decide, by their place."""
    catalog = audience.catalog
    arms = catalog.roster.arms[audience.name]
    it = arms.experiment
    levels = _levels(audience)
    known = {each for each in page.profiles if each is not None}
    met = _met(connection, audience, known, levels)
    shown: Mapping[str, Exposed] = {}
    if it.unit != "profile" and it.is_sticky:
        shown = first_shown(connection, it.name, {unit for unit in page.units if unit})
    places = [
        place
        for place, (profile, unit) in enumerate(zip(page.profiles, page.units, strict=True))
        if unit and profile not in met and unit not in shown
    ]
    units = [page.units[place] for place in places]
    given = assign_batch(
        units,
        seed=it.seed,
        variants=arms.names,
        weights=arms.weights,
        coverage=it.coverage,
        version=_VERSIONS[it.hash_version],
        imported=it.is_imported,
    )
    in_range = None
    if it.layer is not None:
        seed, start, end = it.layer
        in_range = in_layer_batch(units, layer_seed=seed, start=start, end=end).tolist()
    holders = _holders(units, levels)
    lines: dict[int, Line] = {}
    layer = it.layer[0].removeprefix("layer:") if it.layer else ""
    for number, (place, index) in enumerate(zip(places, given.indices.tolist(), strict=True)):
        id = page.ids[place]
        if number in holders:
            line = Line(id, None, 0.0, f"held out by {holders[number]}")
        elif in_range is not None and not in_range[number]:
            line = Line(id, None, 0.0, f'not in its range of the layer "{layer}"')
        elif index < 0:
            line = Line(id, None, 0.0, "outside the coverage")
        else:
            variant = arms.names[index]
            line = Line(id, variant, arms.shares[variant], DRAWN)
        lines[place] = line
    return lines


def _levels(audience: Audience) -> list[tuple[str, Holdout]]:
    """The holdouts above the experiment, outermost first."""
    program = audience.catalog.program
    it = audience.catalog.roster.arms[audience.name].experiment
    found = []
    if program.global_holdout is not None:
        found.append(("global", program.global_holdout))
    if it.programme in program.programme_holdouts:
        found.append((f"programme:{it.programme}", program.programme_holdouts[it.programme]))
    return found


def _holders(units: Sequence[str], levels: Sequence[tuple[str, Holdout]]) -> dict[int, str]:
    """Who of these is held out, by number: each by its own hash, a profile by its id."""
    found: dict[int, str] = {}
    for label, holdout in reversed(levels):  # the outermost is written last
        seed = f"{holdout.seed}@{holdout.period}" if holdout.period else holdout.seed
        held = is_held_out_batch(units, seed=seed, share=holdout.share).tolist()
        found |= {number: label for number, is_held in enumerate(held) if is_held}
    return found


def _met(
    connection: Connection,
    audience: Audience,
    profiles: Iterable[int],
    levels: Sequence[tuple[str, Holdout]],
) -> set[int]:
    """Profiles that were exposed to the experiment, or to a holdout above it."""
    ids = sorted(profiles)
    it = audience.catalog.roster.arms[audience.name].experiment
    asked = [(it.name, phase) for phase in range(1, it.phase + 1)]
    if it.unit == "profile":  # Others are held out by their own hash, whatever their people were.
        asked += [(exposure_name(label, holdout), 1) for label, holdout in levels]
    return {
        int(row[0])
        for experiment, phase in asked
        for row in connection.select_in(_EXPOSED, ids, (experiment, phase))
    }


def _one_by_one(
    connection: Connection, audience: Audience, page: Page, places: Sequence[int]
) -> Iterator[tuple[int, Line]]:
    catalog, name = audience.catalog, audience.name
    profiles = {page.profiles[place] for place in places} - {None}
    loaded = people.load(
        connection,
        sorted(it for it in profiles if it is not None),
        models=audience.segments.news.models,
    )
    shown: dict[tuple[str, str], Exposed] = {}
    for each in catalog.required_by(name):
        arms = catalog.roster.arms.get(each)
        if arms is None or arms.experiment.unit == "profile" or not arms.experiment.is_sticky:
            continue
        units = {page.units[place] for place in places if page.units[place]}
        shown |= {
            (each, unit): found for unit, found in first_shown(connection, each, units).items()
        }
    for place in places:
        profile = page.profiles[place]
        person = loaded[profile].person if profile is not None and profile in loaded else None
        asked = _asked(audience, page, place, person)._replace(
            shown=lambda experiment, unit: shown.get((experiment, unit))
        )
        yield place, _line(page.ids[place], asked, name)


def _asked(audience: Audience, page: Page, place: int, person: Person | None) -> Asked:
    catalog, unit = audience.catalog, page.units[place]
    kind = catalog.roster.arms[audience.name].experiment.unit
    if person is None:
        traits = _nested(kind.split(".")[1:], unit) if kind.startswith("traits.") else {}
        person = Person(Profile(ProfileId(0), catalog.program.zone, traits), State(), is_new=True)
        segments = NO_SEGMENTS
    else:
        segments = audience.segments
    ids = Ids(unit if kind == "user" else "", unit if kind == "anonymous" else "")
    return Asked(catalog.program, catalog.roster, segments, person, audience.now, ids=ids)


def _nested(path: Sequence[str], value: str) -> dict[str, Any]:
    found: Any = value
    for key in reversed(path):
        found = {key: found}
    return found if isinstance(found, dict) else {}


def _line(id: str, asked: Asked, name: str) -> Line:
    given = decide(asked, name)
    if given.variant == OUTSIDE:
        return Line(id, None, 0.0, given.reason)
    reason = given.reason or (KEPT if given.is_exposed else DRAWN)
    return Line(id, given.variant, given.probability, reason)
