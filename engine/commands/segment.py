"""`antiphon segment`: how large, who, and why."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.core.model import Instant
    from engine.core.segments import Segments
    from engine.store.connection import Connection

HELP: Final = "list segments; preview one; its members; why a profile is in or out"
EXAMPLE: Final = """\
example: antiphon segment list --dir shop
example: antiphon segment preview high-intent-mobile --dir shop
example: antiphon segment members high-intent-mobile --at 2026-03-02T09:00:00Z
example: antiphon segment explain high-intent-mobile --profile u1 --dir shop"""

SHOWN: Final = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, what in (
        ("list", "every segment with its size"),
        ("preview", "size and ten members of a segment as its file says, applied or not"),
        ("members", "who is inside, now or at an instant"),
        ("explain", "why one profile is in or out, condition by condition"),
    ):
        each = actions.add_parser(action, help=what)
        if action != "list":
            each.add_argument("name", metavar="NAME", help="a segment of segments/*.yaml")
            each.add_argument("--at", metavar="TIME", help="an instant (ISO 8601); default: now")
        if action == "explain":
            each.add_argument(
                "--profile", required=True, metavar="ID", help="their user id or anonymous id"
            )
        each.add_argument("--dir", type=Path, default=Path(), metavar="DIR", dest="directory")
        each.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when it could be answered; for `explain`, 1 when the profile is out."""
    from engine.opened import instant, opened
    from engine.publish import check
    from engine.steady import present

    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        if arguments.action == "list":
            return _list(connection, sorted(it.playbook().program.segments), arguments.json)
        at = instant(arguments.at, default=present())
        if arguments.action == "preview":
            segments = check(arguments.directory).segments
            _known(arguments.name, segments)
            return _preview(connection, segments, arguments.name, at, arguments.json)
        playbook = it.playbook()
        _known(arguments.name, playbook.segments)
        if arguments.action == "explain":
            return _explain(connection, playbook.segments, arguments, at)
        if arguments.at is None:
            members = _members_now(connection, arguments.name)
        else:
            members = _members_at(connection, playbook.segments, arguments.name, at)
        return _print_members(arguments.name, at, members, arguments.json)


def _known(name: str, segments: "Segments") -> None:
    from campaigns.problems import advice

    if name not in segments.names:
        hint = advice(name, segments.names) or " There is none yet: segments/ holds no file."
        raise UsageError(f'there is no segment "{name}".{hint}')


def _list(connection: "Connection", names: list[str], as_json: bool) -> int:
    from engine.asof import sizes

    found = sizes(connection, names)
    if as_json:
        print(json.dumps({"segments": [{"segment": n, "size": found[n]} for n in names]}))
        return 0
    width = max(map(len, names), default=0)
    if not names:
        print("no segment yet: write one in segments/*.yaml and run: antiphon apply")
    for name in names:
        print(f"{name:<{width}}  {found[name]:>9,}")
    return 0


def _members_now(connection: "Connection", name: str) -> list[str]:
    rows = connection.execute(
        "SELECT p.external_id FROM membership m JOIN profile p ON p.id = m.profile_id "
        "WHERE m.segment = ? ORDER BY p.id",
        (name,),
    )
    return [row[0] for row in rows]


def _members_at(
    connection: "Connection", segments: "Segments", name: str, at: "Instant"
) -> list[str]:
    from engine.asof import members_at

    return [it.then.profile.external_id for it in members_at(connection, segments, name, at=at)]


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
    connection: "Connection", segments: "Segments", name: str, at: "Instant", as_json: bool
) -> int:
    from engine.asof import members_at
    from engine.core.clocktime import iso

    members = members_at(connection, segments, name, at=at)
    shown: list[dict[str, Any]] = []
    for it in members[:SHOWN]:
        rows = segments.explain(name, it.then.features, it.then.profile, now=at)
        shown.append({"profile": it.then.profile.external_id, "conditions": rows})
    if as_json:
        found = {"segment": name, "at": iso(at), "size": len(members), "members": shown}
        print(json.dumps(found))
        return 0
    print(f"{name}: {len(members):,} people at {iso(at)}")
    for each in shown:
        print(f"\n{each['profile']}")
        _print_rows(each["conditions"])
    return 0


def _explain(
    connection: "Connection", segments: "Segments", arguments: argparse.Namespace, at: "Instant"
) -> int:
    from engine.asof import profiles_at
    from engine.core.clocktime import iso
    from engine.core.model import NEVER, Profile, ProfileId
    from engine.reading import find_profile

    profile = find_profile(connection, arguments.profile, kinds=("user", "anonymous"))
    if profile is None:
        raise UsageError(f'there is no profile with the id "{arguments.profile}"')
    then = next(profiles_at(connection, segments, at=at, only=[profile]), None)
    features = then.features if then is not None else {}
    someone = then.profile if then is not None else Profile(ProfileId(profile), "UTC")
    matches, until = segments.evaluate(arguments.name, features, someone, now=at)
    rows = segments.explain(arguments.name, features, someone, now=at)
    if arguments.json:
        end = None if until >= NEVER else iso(until)
        print(json.dumps({"matches": matches, "until": end, "conditions": rows}))
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
        print(f"  {mark} {'  ' * row['depth']}{row['condition']}{found}{end}")
