"""`antiphon segment`: how large, who, and why."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.commands.where import add_directory
from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.asof import Zones
    from engine.core.model.campaigns import Program
    from engine.core.model.instants import Instant
    from engine.core.segments import Segments
    from engine.opened import Opened
    from engine.segment_preview import Preview
    from engine.store.connection import Connection

HELP: Final = "list segments; preview one; its members; why a profile is in or out"
EXAMPLE: Final = """\
example: antiphon segment list shop
example: antiphon segment preview high-intent-mobile shop
example: antiphon segment members high-intent-mobile --at 2026-03-02T09:00:00Z
example: antiphon segment explain high-intent-mobile --profile u1 shop
example: antiphon segment cluster shoppers shop"""

DAYS: Final = 14
DAYS_MAX: Final = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, what in (
        ("list", "every segment with its size"),
        ("preview", "size, trend and ten members of a segment as its file says, applied or not"),
        ("members", "who is inside, now or at an instant"),
        ("explain", "why one profile is in or out, condition by condition"),
    ):
        each = actions.add_parser(action, help=what)
        if action != "list":
            each.add_argument("name", metavar="NAME", help="a segment of segments/*.yaml")
            each.add_argument("--at", metavar="TIME", help="an instant (ISO 8601); default: now")
        if action == "preview":
            each.add_argument(
                "--days", type=int, default=DAYS, metavar="N",
                help=f"days of the trend, up to that instant; default: {DAYS}, at most {DAYS_MAX}",
            )  # fmt: skip
        if action == "explain":
            each.add_argument(
                "--profile", required=True, metavar="ID", help="their user id or anonymous id"
            )
        add_directory(each)
        each.add_argument("--json", action="store_true", help="print one JSON object")
    from engine.commands.segment_cluster import add_cluster

    add_cluster(actions)


def run(arguments: argparse.Namespace) -> int:
    """0 when it could be answered; for `explain`, 1 when the profile is out."""
    if arguments.action == "cluster":
        from engine.commands.segment_cluster import show

        return show(arguments)
    from engine.asof import Zones
    from engine.membership import members_now
    from engine.opened import instant, opened
    from engine.steady import present

    if arguments.action == "preview" and not 1 <= arguments.days <= DAYS_MAX:
        raise UsageError(f"--days {arguments.days}: write a number from 1 to {DAYS_MAX}")
    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        if arguments.action == "list":
            return _list(connection, it.playbook().segments, arguments.json)
        at = instant(arguments.at, default=present())
        if arguments.action == "preview":
            return _preview(connection, it, arguments, at)
        playbook = it.playbook()
        _known(arguments.name, playbook.segments)
        if arguments.action == "explain":
            return _explain(connection, playbook.segments, arguments, at)
        if arguments.at is None:
            members = members_now(connection, playbook.segments, arguments.name, now=at)
        else:
            settings = playbook.workspace.settings
            zones = Zones(settings.zones, str(settings.zone))
            members = _members_at(connection, playbook.segments, arguments.name, at, zones)
        return _print_members(arguments.name, at, members, arguments.json)


def _known(name: str, segments: "Segments") -> None:
    from campaigns.problems import advice

    if name not in segments.names:
        hint = advice(name, segments.names) or " There is none yet: segments/ holds no file."
        raise UsageError(f'there is no segment "{name}".{hint}')


def _list(connection: "Connection", segments: "Segments", as_json: bool) -> int:
    from engine.membership import sizes
    from engine.release import drafts
    from engine.steady import present

    names = list(segments.names)
    found = sizes(connection, names, segments=segments, now=present())
    under_way = drafts.current(connection)
    if as_json:
        print(json.dumps({"segments": [{"segment": n, "size": found[n]} for n in names]}))
        return 0
    width = max(map(len, names), default=0)
    if not names:
        print("no segment yet: write one in segments/*.yaml and run: antiphon apply")
    for name in names:
        print(f"{name:<{width}}  {found[name]:>9,}")
    if under_way is not None and under_way.words:
        print(f"The next release is being prepared, and nobody goes by it yet: {under_way.words}")
    return 0


def _members_at(
    connection: "Connection", segments: "Segments", name: str, at: "Instant", zones: "Zones"
) -> list[str]:
    from engine.asof import members_at

    found = members_at(connection, segments, name, at=at, zones=zones)
    return [it.then.profile.external_id for it in found]


def _print_members(name: str, at: "Instant", members: list[str], as_json: bool) -> int:
    from engine.core.clocktime import iso

    if as_json:
        found = {"segment": name, "at": iso(at), "size": len(members), "members": members}
        print(json.dumps(found))
        return 0
    for member in members:
        print(member)
    return 0


def _preview(
    connection: "Connection", it: "Opened", arguments: argparse.Namespace, at: "Instant"
) -> int:
    from engine.segment_preview import preview
    from engine.settings import DIRECTORY
    from engine.steady import present

    program, segments = _as_written(it, arguments.directory)
    _known(arguments.name, segments)
    found = preview(
        connection,
        arguments.name,
        program=program,
        segments=segments,
        at=at,
        days=arguments.days,
        present=present() if arguments.at is not None else at,
        folder=it.settings.directory / DIRECTORY,
    )
    if arguments.json:
        print(json.dumps(found.as_json()))
    else:
        _print_preview(found)
    return 0


def _as_written(it: "Opened", directory: Path) -> tuple["Program", "Segments"]:
    """The segments of the files, where there are some; else those of the live release."""
    from campaigns.load import load_workspace
    from engine.release.publish import compiled

    if not (directory / "antiphon.yaml").exists():
        playbook = it.playbook()
        return playbook.program, playbook.segments
    checked = compiled(load_workspace(directory, environ=None), blind=it.vault.mark)
    return checked.program, checked.segments


def _print_preview(found: "Preview") -> None:
    from engine.core.clocktime import iso
    from engine.segment_preview import sparkline

    sizes = [size for _, size in found.trend]
    print(f"{found.segment}: {found.size:,} of {found.people:,} people at {iso(found.at)}")
    if len(sizes) > 1:
        print(
            f"{len(sizes)} days  {sparkline(sizes)}  from {sizes[0]:,} to {sizes[-1]:,} "
            f"(least {min(sizes):,}, most {max(sizes):,})"
        )
    for each in found.members:
        print(f"\n{each.profile}")
        _print_rows(each.conditions)


def _explain(
    connection: "Connection", segments: "Segments", arguments: argparse.Namespace, at: "Instant"
) -> int:
    from engine.asof import profiles_at
    from engine.core.clocktime import iso
    from engine.core.model.instants import NEVER, ProfileId
    from engine.core.model.people import Profile
    from engine.reading import find_profile
    from engine.segment_preview import as_they_are

    profile = find_profile(connection, arguments.profile, kinds=("user", "anonymous"))
    if profile is None:
        raise UsageError(f'there is no profile with the id "{arguments.profile}"')
    then = next(profiles_at(connection, segments, at=at, only=[profile]), None)
    if then is not None and arguments.at is None:
        (then,) = as_they_are(connection, segments, [then])
    features = then.features if then is not None else {}
    someone = then.profile if then is not None else Profile(ProfileId(profile), "UTC")
    matches, until = segments.evaluate(arguments.name, features, someone, now=at)
    rows = segments.explain(arguments.name, features, someone, now=at)
    if arguments.json:
        end = None if until >= NEVER else iso(until)
        rough = segments.approximate(arguments.name, features, now=at)
        found = {"matches": matches, "until": end, "approximate": rough, "conditions": rows}
        print(json.dumps(found))
    else:
        word = "in" if matches else "not in"
        end = "until an event changes it" if until >= NEVER else f"until {iso(until)}"
        print(f"{arguments.profile} is {word} {arguments.name} at {iso(at)}, {end}")
        _print_rows(rows)
    return 0 if matches else 1


def _print_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        mark = "yes" if row["matches"] else "no "
        end = f", until {row['until']}" if row["until"] else ""
        found = f" ({row['found']})" if row["found"] else ""
        rough = f", approximate: {row['approximate']}" if row.get("approximate") else ""
        print(f"  {mark} {'  ' * row['depth']}{row['condition']}{found}{end}{rough}")
