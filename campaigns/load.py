"""A folder (or the bytes of one) -> a checked Workspace, or every problem with its file and line.

The only module of `campaigns` that reads files. Variables come in as `environ`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from campaigns.catalog import (
    CATALOG_BYTES_MAX,
    CATALOG_EXTENSIONS,
    CATALOG_FOLDER,
    CatalogFile,
    catalog_name,
    read_catalog,
)
from campaigns.checks import check_workspace
from campaigns.confirmations import confirmations
from campaigns.file_kinds import form_of, misplaced
from campaigns.forms import Form, FormT
from campaigns.lists import (
    LIST_BYTES_MAX,
    LIST_EXTENSION,
    LIST_FOLDER,
    ListFile,
    read_list,
)
from campaigns.problems import InvalidWorkspace, Problem, advice, nearest
from campaigns.reading import Map, Unreadable, read_yaml
from campaigns.schema import FOLDERS, MODELS, CampaignFile
from campaigns.secrets import fill_secrets, refuse_secrets
from campaigns.settings_forms import SettingsForm
from campaigns.wording import problems_of
from campaigns.workspace import (
    QUERY_EXTENSION,
    QUERY_FOLDER,
    SETTINGS_FILE,
    TEMPLATE_EXTENSIONS,
    TEMPLATE_FOLDER,
    TemplateFile,
    Workspace,
    template_of,
)
from engine.core.inclusion import PIECE_PATH

FILES_MAX: Final = 20_000
FILE_BYTES_MAX: Final = 2_000_000
"""Templates may hold inlined images; YAML has a smaller limit of its own (`reading`)."""

_YAML: Final = (".yaml", ".yml")
_BYTES_MAX: Final = {CATALOG_FOLDER: CATALOG_BYTES_MAX, LIST_FOLDER: LIST_BYTES_MAX}
_SUFFIXES: Final = {CATALOG_FOLDER: CATALOG_EXTENSIONS, LIST_FOLDER: (LIST_EXTENSION,)}
_READ: Final = {**_SUFFIXES, QUERY_FOLDER: (*_YAML, QUERY_EXTENSION)}


def load_workspace(directory: Path, *, environ: Mapping[str, str] | None) -> Workspace:
    """Read and check the workspace in a folder.

    Args:
        environ: Where `${env:NAME}` looks; None leaves secrets unread, as `check` in CI needs.
    Raises:
        InvalidWorkspace: A CampaignError; `.problems` holds everything that was found.
    """
    return load_bundle(
        read_bundle(directory), environ=environ, base=directory, strays=_strays(directory)
    )


def read_bundle(directory: Path) -> dict[str, bytes]:
    """The files that make up a workspace, by path: YAML of its folders and all templates.

    Raises:
        InvalidWorkspace: If it is no workspace, or a file is too large to be part of one.
    """
    if not (directory / SETTINGS_FILE).is_file():
        raise InvalidWorkspace(
            [
                Problem(
                    SETTINGS_FILE,
                    0,
                    "",
                    f'not found in "{directory}". Name the folder of a '
                    "workspace, or make one: antiphon init DIR.",
                )
            ]
        )
    bundle: dict[str, bytes] = {}
    problems: list[Problem] = []
    for path in _paths(directory):
        name = path.relative_to(directory).as_posix()
        size = path.stat().st_size
        most = _BYTES_MAX.get(name.partition("/")[0], FILE_BYTES_MAX)
        if size > most:
            message = f"the file has {size:,} bytes; at most {most:,} are read."
            problems.append(Problem(name, 0, f"{size:,} bytes", message))
            continue
        bundle[name] = path.read_bytes()
        if len(bundle) > FILES_MAX:
            problems.append(Problem(name, 0, "", f"more than {FILES_MAX:,} files are not read."))
            break
    if problems:
        raise InvalidWorkspace(problems)
    return bundle


def load_bundle(
    files: Mapping[str, bytes],
    *,
    environ: Mapping[str, str] | None,
    base: Path | None = None,
    strays: tuple[Problem, ...] = (),
    is_checked: bool = False,
) -> Workspace:
    """Check a workspace given as bytes by path, such as an applied one from the database.

    Args:
        is_checked: It was live already: what a newer program has learnt to refuse must not stop
            what is running. It still has to read.
        base: Where a relative `${file:…}` starts; without it only absolute paths are read.
        strays: Problems of the folder itself that the bytes cannot show.
    """
    reader = _Reader(files, environ=environ, base=base)
    reader.problems.extend(strays)
    workspace, names = reader.workspace()
    if workspace is None:
        raise InvalidWorkspace(reader.problems)
    if is_checked and not reader.problems:
        return workspace
    problems, notices = check_workspace(workspace, names=names)
    if reader.problems or problems:
        raise InvalidWorkspace([*reader.problems, *problems])
    return replace(workspace, notices=tuple(sorted(notices)))


class _Reader:
    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        environ: Mapping[str, str] | None,
        base: Path | None,
    ) -> None:
        self.files = files
        self.environ = environ
        self.base = base
        self.problems: list[Problem] = []
        self.trees: dict[str, Map] = {}
        self.names: dict[str, set[str]] = {folder: set() for folder in FOLDERS}

    def workspace(self) -> tuple[Workspace | None, Mapping[str, set[str]]]:
        """The workspace as far as it could be read, and every name it declares.

        Names of files that have problems of their own are among them, so that one slip does not
        make every mention of the name a problem too.
        """
        settings = self._settings()
        named: dict[str, dict[str, Any]] = {folder: {} for folder in FOLDERS}
        for path in sorted(self.files):
            folder, _, rest = path.partition("/")
            if folder in FOLDERS and rest and path.endswith(_YAML):
                self._named(path, folder, named[folder])
        templates = self._templates(settings)
        lists = self._lists()
        catalog = self._catalog()
        if settings is None:
            return None, self.names
        for name, place, tree in confirmations(settings):
            form = self._form(place, CampaignFile, tree)
            if form is not None and name not in self.names["campaigns"]:
                form._file = place
                self.trees[place] = tree
                self.names["campaigns"].add(name)
                named["campaigns"][name] = form
        workspace = Workspace(
            settings,
            events=named["events"],
            segments=named["segments"],
            campaigns=named["campaigns"],
            experiments=named["experiments"],
            metrics=named["metrics"],
            tests=named["tests"],
            models=named[MODELS],
            templates=templates,
            lists=lists,
            catalog=catalog,
            files=self.files,
            trees=self.trees,
        )
        return workspace, self.names

    def _settings(self) -> SettingsForm | None:
        if SETTINGS_FILE not in self.files:
            self.problems.append(Problem(SETTINGS_FILE, 0, "", "the file is missing."))
            return None
        tree = self._tree(SETTINGS_FILE)
        if tree is None:
            return None
        filled, problems = fill_secrets(
            tree, file=SETTINGS_FILE, read=None if self.environ is None else self._secret
        )
        self.problems.extend(problems)
        return self._form(SETTINGS_FILE, SettingsForm, filled)

    def _secret(self, kind: str, name: str) -> str | None:
        assert self.environ is not None
        if kind == "env":
            return self.environ.get(name)
        path = Path(name)
        if not path.is_absolute():
            if self.base is None:
                return None
            path = self.base / path
        try:
            return path.read_text("utf-8").rstrip("\r\n")
        except (OSError, ValueError):
            return None

    def _named(self, path: str, folder: str, into: dict[str, Any]) -> None:
        tree = self._tree(path)
        if tree is None:
            return
        form_class = form_of(folder, tree)
        says_its_kind = form_class is not None and form_class.KIND in tree
        if not says_its_kind and (problem := misplaced(path, folder, tree)):
            self.problems.append(problem)
            return
        assert form_class is not None
        kind = form_class.KIND
        if isinstance(tree.get(kind), str):
            self.names[folder].add(str(tree[kind]))
        read = None if self.environ is None else self._secret
        self.problems.extend(refuse_secrets(tree, file=path, read=read))
        form = self._form(path, form_class, tree)
        if form is None:
            return
        form._file = path
        name = str(form.name)
        if name in into:
            first = into[name]
            self.problems.append(
                Problem(
                    path,
                    form.name.line,
                    name,
                    f'the {first.KIND} "{name}" is already declared at {first.file}:'
                    f"{first.name.line}. "
                    "Names are unique; rename one.",
                )
            )
            return
        into[name] = form

    def _tree(self, path: str) -> Map | None:
        try:
            tree = read_yaml(path, self.files[path])
        except Unreadable as error:
            self.problems.append(error.problem)
            return None
        self.trees[path] = tree
        return tree

    def _form(self, path: str, form_class: type[FormT], tree: Map) -> FormT | None:
        forms: dict[int, type[Form]] = {}
        try:
            return form_class.model_validate(tree, context={"forms": forms})
        except ValidationError as error:
            self.problems.extend(problems_of(error, file=path, tree=tree, forms=forms))
            return None

    def _templates(
        self, settings: SettingsForm | None
    ) -> dict[tuple[str, str], tuple[TemplateFile, ...]]:
        kinds = {
            str(name): channel.kind or str(name)
            for name, channel in (settings.channels if settings else {}).items()
        }
        found: dict[tuple[str, str], list[TemplateFile]] = {}
        for path in sorted(self.files):
            if not path.startswith(f"{TEMPLATE_FOLDER}/"):
                continue
            if PIECE_PATH.fullmatch(path):
                continue
            parts = template_of(path)
            if parts is None:
                self._stray_template(
                    path, "templates/<channel>/[_partials/ | _layouts/]<name>[.<locale>].<ext>"
                )
                continue
            channel, name, file = parts
            extensions = TEMPLATE_EXTENSIONS.get(kinds.get(channel, channel), ())
            if extensions and file.extension not in extensions:
                allowed = ", ".join(f".{extension}" for extension in extensions)
                self._stray_template(path, f"{allowed} for {channel}")
                continue
            found.setdefault((channel, name), []).append(file)
        return {key: tuple(files) for key, files in found.items()}

    def _lists(self) -> dict[str, ListFile]:
        found: dict[str, ListFile] = {}
        for path in sorted(self.files):
            if path.startswith(f"{LIST_FOLDER}/") and path.endswith(LIST_EXTENSION):
                name, one, problems = read_list(path, self.files[path])
                self.problems.extend(problems)
                self.names.setdefault("lists", set()).add(name)
                if one is not None:
                    found[name] = one
        return found

    def _catalog(self) -> dict[str, CatalogFile]:
        found: dict[str, CatalogFile] = {}
        for path in sorted(self.files):
            if not path.startswith(f"{CATALOG_FOLDER}/"):
                continue
            name = catalog_name(path)
            if name is None:
                message = "a feed is catalog/NAME.csv or .jsonl, its name of a-z, 0-9, - and _."
                self.problems.append(Problem(path, 0, path, message))
                continue
            one, problems = read_catalog(path, self.files[path])
            self.problems.extend(problems)
            self.names.setdefault("catalog", set()).add(name)
            if name in found:
                message = f'the feed "{name}" is in {found[name].file} already. Keep one.'
                self.problems.append(Problem(path, 0, name, message))
            elif one is not None:
                found[name] = one
        return found

    def _stray_template(self, path: str, allowed: str) -> None:
        self.problems.append(
            Problem(path, 0, path, f"this is not the name of a template. Allowed: {allowed}.")
        )


def _paths(directory: Path) -> Iterator[Path]:
    yield directory / SETTINGS_FILE
    for folder in (*FOLDERS, TEMPLATE_FOLDER, LIST_FOLDER, CATALOG_FOLDER):
        for path in sorted((directory / folder).rglob("*")):
            is_hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
            if is_hidden or path.is_symlink() or not path.is_file():
                continue
            suffixes = _READ.get(folder, _YAML)
            if folder == TEMPLATE_FOLDER or path.suffix in suffixes:
                yield path


def _strays(directory: Path) -> tuple[Problem, ...]:
    """Folders that hold YAML but are not read: later ones, and slips of the pen."""
    problems = []
    for path in sorted(directory.iterdir()):
        if not path.is_dir() or path.name.startswith(".") or path.name in FOLDERS:
            continue
        first = next((file for file in sorted(path.rglob("*")) if file.is_file()), None)
        if first is None or path.name == TEMPLATE_FOLDER:
            continue
        name = first.relative_to(directory).as_posix()
        if path.name in _SUFFIXES:
            problems += _stray_files(directory, path)
            continue
        if first.suffix in _YAML and nearest(path.name, FOLDERS):
            message = f'the folder "{path.name}" is not read.{advice(path.name, FOLDERS)}'
            problems.append(Problem(name, 0, path.name, message))
    return tuple(problems)


def _stray_files(directory: Path, folder: Path) -> list[Problem]:
    """What stands among the lists, or the feeds, and is none."""
    is_list = folder.name == LIST_FOLDER
    message = "a list is lists/NAME.csv." if is_list else "a feed is catalog/NAME.csv or .jsonl."
    allowed = _SUFFIXES[folder.name]
    return [
        Problem(path.relative_to(directory).as_posix(), 0, path.name, message)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in allowed and not path.name.startswith(".")
    ]
