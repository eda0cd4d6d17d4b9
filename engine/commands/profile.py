"""`antiphon profile`: one person, as far as the local machine may show them."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.reading import ProfilePage

HELP: Final = "one person: traits (pii hidden), segments, consent, enrollments, timeline"
EXAMPLE: Final = "example: antiphon profile show u1 shop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="what is known of a person")
    show.add_argument("id", metavar="ID", help="their user id or anonymous id")
    show.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    show.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when the person is known, 2 when not."""
    from engine.membership import with_asked
    from engine.opened import opened
    from engine.reading import find_profile, read_profile
    from engine.shown import plain
    from engine.steady import present

    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        profile = find_profile(connection, arguments.id, kinds=("user", "anonymous"))
        compiled = it.playbook().segments
        segments = list(compiled.names)
        page = (
            None
            if profile is None
            else read_profile(connection, profile, segments=segments, with_timeline=True)
        )
        if page is not None:
            page = with_asked(connection, page, compiled, now=present())
    if page is None:
        raise UsageError(f'there is no profile with the id "{arguments.id}"')
    print(json.dumps(_plain(plain(page))) if arguments.json else _told(page))
    return 0


def _plain(page: dict[str, Any]) -> dict[str, Any]:
    """The same names as `GET /v1/profiles/{id}`: `id` is the one the person goes by outside."""
    from engine.core.clocktime import iso

    inside = [{"name": name, "since": iso(since)} for name, since in page["segments"]]
    return {**page, "id": page.pop("external_id"), "segments": inside}


def _told(page: "ProfilePage") -> str:
    from engine.core.clocktime import iso

    lines = [f"{page.external_id}, since {iso(page.created_at)}, zone {page.zone}"]
    if page.is_erased:
        lines.append("  erased")
    lines += [f"  {name}: {value}" for name, value in sorted(page.traits.items())]
    for channel, words in sorted(page.channels.items()):
        topics = page.consent.get(channel, {})
        agreed = ", ".join(f"{topic} {'yes' if on else 'no'}" for topic, on in topics.items())
        lines.append(f"  {channel}: {words}; consent: {agreed or 'unknown'}")
    lines += [f"  in {name} since {iso(since)}" for name, since in page.segments]
    for each in page.enrollments:
        where = each.step if each.status == "active" else each.reason or each.status
        lines.append(f"  {each.campaign}: entered {iso(each.entered_at)}, {each.status} ({where})")
    lines.append("timeline")
    for moment in page.timeline:
        status = f" [{moment.status}]" if moment.status else ""
        lines.append(
            f"  {iso(moment.at)[:19]}  {moment.kind:<8} {moment.title}{status}  {moment.detail}"
        )
    return "\n".join(lines)
