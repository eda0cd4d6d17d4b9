"""`antiphon ingest`: load events or profiles from files, through the checks of the API."""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.intake.loading import Report

HELP: Final = "load events or profiles from JSONL, CSV or Parquet (.gz, .zst), or stdin as -"
EXAMPLE: Final = """\
example: antiphon ingest shop orders.csv.gz --map userId=customer --map event="=Order Completed" \\
           --map timestamp=date --map properties.revenue=total"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "paths", nargs="+", metavar="[DIR] FILE", help="files; a folder first is the workspace"
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="FIELD=COLUMN",
        help="which column holds a field of the tracking API; FIELD==TEXT is a constant",
    )
    parser.add_argument(
        "--live", action="store_true", help="let even old events start journeys (rule 8)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when every row was taken or known, 1 when some were refused."""
    directory, files = _split(arguments.paths)
    mapping = _mapping(arguments.map)
    total: dict[str, Any] = {"accepted": 0, "duplicates": 0, "rejected": 0, "errors": []}
    for file in files:
        report = _load(directory, file, mapping, arguments)
        for count in ("accepted", "duplicates", "rejected"):
            total[count] += getattr(report, count)
        total["errors"] += [
            {"file": file, "row": it.row, "field": it.field, "message": it.message}
            for it in report.errors
        ]
    if arguments.json:
        print(json.dumps(total))
    else:
        for error in total["errors"]:
            print(f"{error['file']}:{error['row']}: {error['message']}", file=sys.stderr)
        print(
            f"{total['accepted']:,} accepted, {total['duplicates']:,} duplicates, "
            f"{total['rejected']:,} rejected"
        )
    return int(total["rejected"] > 0)


def _split(paths: list[str]) -> tuple[Path, list[str]]:
    first = Path(paths[0])
    if paths[0] != "-" and first.is_dir():
        if len(paths) == 1:
            raise UsageError("name at least one FILE after the workspace, or - for stdin")
        return first, [_readable(path) for path in paths[1:]]
    return Path(), [_readable(path) for path in paths]


def _readable(path: str) -> str:
    """Refuse what is no file before anything is opened, loaded or created."""
    if path == "-" or Path(path).is_file():
        return path
    if Path(path).is_dir():
        raise UsageError(f"{path} is a folder; name the files in it")
    raise UsageError(f"{path}: there is no such file")


def _mapping(pairs: list[str]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for pair in pairs:
        field, sign, column = pair.partition("=")
        if not (field and sign and column):
            raise UsageError(f'--map {pair}: write FIELD=COLUMN, or FIELD="=TEXT" for a constant')
        mapping[field] = column
    return mapping


def _load(
    directory: Path, file: str, mapping: dict[str, str], arguments: argparse.Namespace
) -> "Report":
    """Through the running server if there is one, which owns the database; else directly."""
    from engine.counting import counting
    from engine.local import call, is_served

    if is_served(directory):
        import msgspec

        from engine.intake.loading import Report

        with _as_file(file) as path:
            payload = {"path": path, "mapping": mapping, "live": arguments.live}
            answer = call(directory, "ingest", payload)
        if answer is not None:
            return msgspec.convert(answer, Report)
    with counting(file, quiet=arguments.json) as progress:
        return _load_here(directory, file, mapping, arguments.live, progress)


@contextmanager
def _as_file(file: str) -> Iterator[str]:
    """A path the server can read: stdin is the command's own, so it is spooled."""
    if file != "-":
        yield str(Path(file).resolve())
        return
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as spooled:
        shutil.copyfileobj(sys.stdin.buffer, spooled)
        spooled.flush()
        yield spooled.name


def _load_here(
    directory: Path, file: str, mapping: dict[str, str], live: bool, progress: Any
) -> "Report":
    import os

    from engine.intake.declared import declared
    from engine.intake.ingest import Ingest
    from engine.intake.loading import ingest_file
    from engine.intake.prepare import Answer, Prepared
    from engine.opened import nothing_applied, opened
    from engine.rehearsed import require_in_earnest
    from engine.release.publish import load_playbook
    from engine.steady import present
    from engine.store.events import EventLog

    with opened(directory) as it:
        require_in_earnest(it.database)  # no tick will ever play what is taken here
        playbook = load_playbook(it.database, vault=it.vault, environ=os.environ)
        if playbook is None:
            raise nothing_applied(directory)
        ingest = Ingest(vault=it.vault, log=EventLog(), zone=playbook.program.zone)

        def write(prepared: Prepared) -> list[Answer]:
            with it.database.write() as connection:
                return ingest.commit(connection, [prepared], now=present())[0]

        return ingest_file(
            file,
            write=write,
            declared=declared(playbook.workspace),
            now=present,
            mapping=mapping,
            live=live,
            progress=progress,
        )
