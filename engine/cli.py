"""The `antiphon` command: a table of commands, each imported only when it is called.

A command is a module of `engine.commands` with HELP, `add_arguments(parser)` and
`run(arguments) -> exit code`. Exit codes: 0 fine, 1 the answer is no, 2 wrong usage or bad input,
which prints one clear line and never a traceback.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

COMMANDS: Final = {
    "init": "a new workspace with a working first campaign",
    "check": "read a workspace like a compiler: errors with file and line",
    "schema": "the JSON Schema of the campaign language, for editors",
    "plan": "what apply would change, and whom it would touch",
    "apply": "make the workspace's files the live ones",
    "releases": "what was played when: number, files, what changed",
    "rollback": "play the files of an earlier release again",
    "campaign": "list, pause, resume, drain, unenrol",
    "serve": "API, engine, scheduler and pages in one process",
    "web": "API and pages alone, where workers play and send",
    "worker": "play and send for a share of the profiles, beside other workers",
    "scheduler": "begin what schedules say, beside workers; or show them",
    "flows": "Prefect: serve our flows, or deploy them to a work pool",
    "ingest": "load events or profiles from JSONL, CSV or Parquet",
    "scores": "publish a model's scores from a file; list the runs",
    "model": "train, evaluate and list models; go back to an older run",
    "recommend": "what a recommender would show one person now, and why",
    "tick": "run the engine up to an instant",
    "simulate": "replay history on a virtual clock: what would be sent, what learnt",
    "test": "run the expectations in tests/*.yaml",
    "segment": "list, preview, members, explain, cluster",
    "profile": "show one person: traits, segments, consent, timeline; or erase them",
    "messages": "what was sent, held or dropped, and why",
    "explain": "the whole story of one message",
    "deliverability": "what was delivered, bounced and complained about",
    "suppressions": "addresses that are never reached: list, add, remove, import, export",
    "parked": "poison items that were put aside, and why",
    "experiment": "list, report, size",
    "analyze": "experiment statistics on any CSV, Parquet or JSONL file",
    "preview": "render a template for one profile or fixture, in one language or all",
    "lint": "warn of what hurts delivery",
    "send-test": "send one step's message to one address, by its provider",
    "keys": "create, list and revoke keys of the tracking API",
    "migrate": "bring the database to this program's schema",
    "demo": "play a year of real shop orders and open the report",
}
"""Every command in the order of help; the module of each is engine.commands.<name>, - as _."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what `[project.scripts]` calls."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = next((word for word in given if not word.startswith("-")), None)
    if name is None or name not in COMMANDS or given[0] != name:
        return _help_or_refuse(given)
    parsed = parser_of(name).parse_args(given[1:])
    return _answer(name, _module(name).run, parsed)


def parser_of(name: str) -> argparse.ArgumentParser:
    """What a command understands; each of its actions shows the examples that are about it."""
    module = _module(name)
    parser = _Parser(prog=f"antiphon {name}", description=module.HELP)
    parser.epilog = getattr(module, "EXAMPLE", None)
    module.add_arguments(parser)
    for action, own in actions_of(parser).items():
        about = [line for line in (parser.epilog or "").splitlines() if f"{name} {action}" in line]
        shown = [line.partition("antiphon ")[2] for line in about]
        own.epilog = (
            "\n".join(f"example: antiphon {line}" for line in shown) if shown else parser.epilog
        )
    return parser


def _module(name: str) -> Any:
    return import_module(f"engine.commands.{name.replace('-', '_')}")


def actions_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The parsers of a command's actions by name: `list` and `explain` of `antiphon segment`."""
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            return dict(each.choices)
    return {}


class _Parser(argparse.ArgumentParser):
    """Refuses in one line that names the nearest flag; a flag must be written out."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options, allow_abbrev=False)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; but `[DIR]` may come last, behind flags that follow a name, too."""
        parsed, left = self.parse_known_args(args, namespace)
        is_word = len(left) == 1 and not left[0].startswith("-")
        # argparse gives a word that may be missing its nothing as soon as a flag comes.
        if is_word and getattr(parsed, "directory", None) == Path():
            parsed.directory = Path(left.pop())
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return parsed

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {_advised(self, message)} `{self.prog} --help` shows more.\n")


def _advised(parser: argparse.ArgumentParser, message: str) -> str:
    """What argparse says, with the nearest flag or choice where one is misspelt."""
    from difflib import get_close_matches

    if message.startswith("unrecognized arguments: "):
        words = [word.partition("=")[0] for word in message.split()[2:] if word.startswith("--")]
        every = [parser, *actions_of(parser).values()]
        allowed = [flag for each in every for flag in each._option_string_actions]
    else:
        quoted = message.split("'")  # invalid choice: 'lst' (choose from 'list', 'members')
        words, allowed = quoted[1:2], quoted[3::2]
    if words and words[0] in allowed:  # Spelt well, but it belongs to another action.
        return f"{message}. Another action takes {words[0]}, this one does not."
    near = get_close_matches(words[0], allowed, n=1) if words else []
    return f"{message}." + (f' Did you mean "{near[0]}"?' if near else "")


def _answer(name: str, run: object, parsed: argparse.Namespace) -> int:
    from engine.core.errors import AntiphonError
    from engine.settings import DIRECTORY, REHEARSAL

    assert callable(run)
    try:
        folder = getattr(parsed, "directory", None)
        if isinstance(folder, Path) and (folder / DIRECTORY / REHEARSAL).exists():
            return _rehearsed(name, run, parsed, folder)
        return int(run(parsed))
    except AntiphonError as error:
        print(f"antiphon: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader (head, less) has enough; Python would complain at exit
        return 0
    except OSError as error:
        # A file or folder that may not be read or written; a bug of ours keeps its traceback.
        what = error.strerror or error
        print(f"antiphon: {error.filename or 'the system'}: {what}", file=sys.stderr)
        return 2


def _rehearsed(
    name: str, run: Callable[[argparse.Namespace], int], parsed: argparse.Namespace, folder: Path
) -> int:
    """Run a command on what `simulate --keep` left, and say on stderr that it is that."""
    from engine.rehearsed import in_its_time

    is_looking = bool(getattr(parsed, "list", False) or getattr(parsed, "json", False))
    with in_its_time(folder, command=name, is_looking=is_looking) as mark:
        if mark is not None:
            print(f"{folder} is {mark.said()}", file=sys.stderr)
        return int(run(parsed))


def _help_or_refuse(given: Sequence[str]) -> int:
    if given and given[0] in ("--version", "-V"):
        from importlib.metadata import version

        print(f"antiphon {version('antiphon')}")
        return 0
    if not given or given[0] in ("--help", "-h", "help"):
        print(_overview())
        return 0
    from difflib import get_close_matches

    near = get_close_matches(given[0], COMMANDS, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    print(
        f'antiphon: there is no command "{given[0]}".{hint} `antiphon --help` lists them.',
        file=sys.stderr,
    )
    return 2


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: antiphon COMMAND [...]",
            "",
            "Campaigns as code: journeys, holdouts and honest uplift over email, SMS, push, web.",
            "",
            *lines,
            "",
            "`antiphon COMMAND --help` shows its arguments and an example.",
            "Start here: antiphon init shop && cd shop && antiphon check",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
