"""Who may import whom, and what the pure packages may not touch: the shape, held by a test."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PURE = {
    "engine/core": (),
    "engine/schedule.py": (),
    "experiments": (),
    "campaigns": ("campaigns/load.py",),
    "channels": (
        "channels/transport.py",
        "channels/http_provider.py",
        "channels/email/smtp.py",
        "channels/sandbox.py",
    ),
}
"""Pure packages, and their few rooms that touch the world."""

FORBIDDEN_MODULES = {"sqlalchemy", "sqlmodel", "sqlite3", "psycopg", "httpx", "random", "secrets"}
FORBIDDEN_CALLS = {
    "datetime.now", "datetime.utcnow", "date.today", "time.time", "time.monotonic", "uuid4",
    "uuid.uuid4", "open", "os.getenv", "random.random",
}  # fmt: skip
FORBIDDEN_NAMES = {"os.environ"}

MAY_IMPORT = {
    "experiments": {"experiments"},
    "engine/core": {"engine.core", "experiments.assignment"},
    "campaigns": {"campaigns", "engine.core", "experiments", "engine.schedule"},
    "channels": {
        "channels",
        "engine.core.model",
        "engine.core.errors",
        "engine.core.inclusion",  # what a template is put together from, which `plan` asks too
    },
}
"""Which of our own modules each pure package may import."""

LEARNT = {
    "campaigns.models",
    "engine.core.errors",
    "engine.core.model",
    "engine.learning.artifact",
    "engine.learning.matrix",
    "engine.learning.refusals",
    "experiments",
}
ROOMS_OF_LEARNING = {
    "clusters": {"engine.learning.lifetime.rfm"},
    "features": set(),
    "frequency": set(),
    "lifetime": set(),
    "recommenders": {"engine.learning.scores.promotion"},
    "scores": set(),
    "send_times": set(),
}
"""Rooms of `engine/learning` that are pure on arrays, and what each borrows from another."""
for room, borrowed in ROOMS_OF_LEARNING.items():
    MAY_IMPORT[f"engine/learning/{room}"] = {f"engine.learning.{room}", *LEARNT, *borrowed}
    PURE[f"engine/learning/{room}"] = ()

OURS = ("engine", "channels", "campaigns", "experiments", "migrations")


def files(package: str) -> Iterator[Path]:
    for path in sorted((ROOT / package).rglob("*.py")):
        if "examples" not in path.parts:
            yield path


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_pure_package_imports_only_what_its_floor_allows(package: str) -> None:
    allowed = tuple(MAY_IMPORT[package])

    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files(package)
        for name, line in imports(ast.parse(path.read_text()))
        if name.split(".")[0] in OURS
        and not any(name == each or name.startswith(each + ".") for each in allowed)
    ]

    assert strays == []


@pytest.mark.parametrize("package", PURE)
def test_a_pure_package_has_no_clock_no_input_and_no_randomness(package: str) -> None:
    strays = []
    for path in [ROOT / package] if package.endswith(".py") else files(package):
        relative = path.relative_to(ROOT).as_posix()
        if relative in PURE[package]:
            continue
        tree = ast.parse(path.read_text())
        for name, line in imports(tree):
            if name.split(".")[0] in FORBIDDEN_MODULES:
                strays.append(f"{relative}:{line} imports {name}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_CALLS:
                strays.append(f"{relative}:{node.lineno} calls {ast.unparse(node.func)}")
            if isinstance(node, ast.Attribute) and ast.unparse(node) in FORBIDDEN_NAMES:
                strays.append(f"{relative}:{node.lineno} reads {ast.unparse(node)}")

    assert strays == []


def test_the_web_and_the_flows_never_import_the_command_line() -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files("engine/web")
        for name, line in imports(ast.parse(path.read_text()))
        if name.startswith(("engine.cli", "engine.commands", "engine.flows"))
    ]

    assert strays == []


def test_nothing_but_commands_imports_the_simulation() -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files("engine")
        for name, line in imports(ast.parse(path.read_text()))
        if name.startswith("engine.simulation.replay")
        and not path.relative_to(ROOT).as_posix().startswith(("engine/commands/", "engine/demo"))
        and path.name not in VIRTUAL_CLOCK
    ]

    assert strays == []


def test_only_the_store_and_its_callers_speak_sql_to_the_driver() -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files("engine")
        for name, line in imports(ast.parse(path.read_text()))
        if name.split(".")[0] in ("sqlite3", "psycopg", "psycopg_pool")
        and path.parent.name != "store"
    ]

    assert strays == []


def test_no_file_is_about_everything() -> None:
    too_long = {
        str(path.relative_to(ROOT)): n_lines
        for package in OURS
        for path in files(package)
        if (n_lines := len(path.read_text().splitlines())) > 400
        and path.relative_to(ROOT).as_posix() not in LONG_ON_PURPOSE
    }

    assert too_long == {}


VIRTUAL_CLOCK = {"simulate.py", "trials.py", "rehearsal.py", "keeping.py", "run_until.py"}
"""What runs the loop on a clock of its own: replays, trials of tests/*.yaml, `tick --until`."""

LONG_ON_PURPOSE = {
    "engine/core/model.py",  # every noun on one page
    "engine/tables.py",  # the whole schema, top to bottom
}


def test_every_command_says_what_it_does_and_how_to_start() -> None:
    from importlib import import_module

    from engine.cli import COMMANDS

    missing = [
        name
        for name in COMMANDS
        for module in [import_module(f"engine.commands.{name.replace('-', '_')}")]
        if not (module.HELP and callable(module.run) and getattr(module, "EXAMPLE", ""))
    ]

    assert missing == []
