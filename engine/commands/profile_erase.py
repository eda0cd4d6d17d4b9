"""`antiphon profile erase`: destroy what is known of a person, and say what is left elsewhere."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.opened import Opened


def erase(arguments: argparse.Namespace) -> int:
    """0 when erased; 1 without --yes; 2 when nobody goes by the id."""
    from engine.opened import opened

    with opened(arguments.directory, read_only=True) as it:
        names, files = _standing(it, arguments.id)
    if not arguments.yes:
        found = {"would_erase": names, "files": files}
        if arguments.json:
            print(json.dumps(found))
        else:
            print(f"this would erase, for good, whoever goes by: {', '.join(names)}")
            _print_files(files)
            print("nothing was erased. To do it, add --yes")
        return 1
    done = _order(arguments.directory, arguments.id)
    if arguments.json:
        print(json.dumps({**done, "files": files}))
        return 0
    print(f"erased: {done['n_ids']} ids, what {done['n_events']:,} events said, every trait")
    print(f"{done['n_addresses']} addresses are suppressed; {done['n_dropped']} messages dropped")
    if done["under_way"]:
        print(f"a provider is being called right now with: {done['under_way']}")
    if done["retrain_by"] is not None:
        from engine.core.clocktime import iso

        print(
            f"models that learnt from them are trained again by {iso(done['retrain_by'])[:10]}: "
            + ", ".join(done["models"])
        )
    _print_files(files)
    return 0


def _standing(it: "Opened", who: str) -> tuple[list[str], list[str]]:
    """Every id of the person, and the files of the workspace in which one of them stands."""
    from engine.erasing import names_of
    from engine.reading import find_profile

    with it.database.read() as connection:
        profile = find_profile(connection, who, kinds=("user", "anonymous"))
        if profile is None:
            raise UsageError(f'there is no profile with the id "{who}"; nothing was erased')
        names = names_of(connection, profile)
    playbook = it.try_playbook()
    if playbook is None:
        return names, []
    lists = playbook.workspace.lists.values()
    files = [each.file for each in lists if set(names) & set(each.values)]
    return names, sorted(files)


def _print_files(files: list[str]) -> None:
    for file in files:
        print(f"the files still name them: take them out of {file} and apply")


def _order(directory: Path, who: str) -> dict[str, Any]:
    """Have the running server do it, or do it here when none runs."""
    import msgspec

    from engine.local import call

    payload = {"id": who}
    done: dict[str, Any] | None = call(directory, "profile_erase", payload)
    if done is not None:
        return done
    from engine.erasing import erase_payload
    from engine.opened import opened
    from engine.steady import present

    with opened(directory) as it:
        found = it.write(lambda connection: erase_payload(connection, payload, now=present()))
        plain: dict[str, Any] = msgspec.to_builtins(found)
        return plain
