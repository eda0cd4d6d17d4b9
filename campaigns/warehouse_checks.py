"""Metrics from SQL: the connection, the file of the query and its unit, without asking anybody.

`check` stays offline: whether the query yields `unit` and `value` is found when it is read out.
"""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from campaigns.conditions import Conditions
from campaigns.experiment_plans import planned
from campaigns.metric_forms import MetricFile, SourceForm
from campaigns.problems import advice
from campaigns.reading import Map, Text
from campaigns.secrets import PLACEHOLDER
from campaigns.workspace import QUERY_EXTENSION, QUERY_FOLDER, SETTINGS_FILE
from experiments.errors import DataError
from experiments.sums.statement import clean, first_word

SCHEMES: Final = ("sqlite", "duckdb", "postgresql", "postgres")
UNITS: Final = ("user", "anonymous")
_QUERY_PATH: Final = re.compile(r"metrics/(?:[A-Za-z0-9][\w.-]*/)*[A-Za-z0-9][\w.-]*\.sql")


def check_warehouse(conditions: Conditions) -> None:
    """Report what is wrong with any metric that lies in a warehouse, and with who asks for it."""
    used = {str(it.source.connection) for it in conditions.workspace.metrics.values() if it.source}
    _check_addresses(used, conditions)
    for form in conditions.workspace.metrics.values():
        if form.source is not None:
            _check_connection(form, form.source, conditions)
            _check_query(form, form.source, conditions)
            _check_unit(form, form.source, conditions)
    _check_bandits(conditions)


def _check_addresses(used: Collection[str], conditions: Conditions) -> None:
    """An address is a text; a password in it stands in the environment or in a file."""
    tree = conditions.workspace.trees.get(SETTINGS_FILE, Map()).get("connections")
    for name, address in tree.items() if isinstance(tree, Map) else ():
        if name not in used:
            continue
        line = tree.key_lines.get(name, tree.line) if isinstance(tree, Map) else 0
        if not isinstance(address, Text):
            what = 'is not an address. Write connections: {NAME: "${env:NAME_URL}"}'
            conditions.report(SETTINGS_FILE, line, str(name), f"connections.{name} {what}")
            continue
        if PLACEHOLDER.search(address):
            continue
        scheme = address.partition("://")[0]
        if scheme not in SCHEMES:
            # What was found is not shown: it may be a password in the wrong place.
            conditions.report(
                SETTINGS_FILE, line, str(name),
                f"connections.{name} is no address that is known. Allowed: sqlite:///FILE, "
                f'duckdb:///FILE, postgresql://…, or better "${{env:{name.upper()}_URL}}".',
            )  # fmt: skip
        elif _has_password(address):
            conditions.report(
                SETTINGS_FILE, line, str(name),
                f"connections.{name} has its password written out. Put the address into the "
                f'environment and write "${{env:{name.upper()}_URL}}".',
            )  # fmt: skip


def _has_password(address: str) -> bool:
    try:
        return urlsplit(address).password is not None or "password=" in address
    except ValueError:
        return True


def _check_connection(form: MetricFile, source: SourceForm, conditions: Conditions) -> None:
    names = {str(name) for name in conditions.workspace.settings.connections}
    conditions.known("connection", source.connection, names, form.file)


def _check_query(form: MetricFile, source: SourceForm, conditions: Conditions) -> None:
    path, line = str(source.query), source.query.line
    files = conditions.workspace.files
    if not _QUERY_PATH.fullmatch(path):
        conditions.report(
            form.file, line, path,
            f'the query "{path}" is not a file of this workspace. Put it beside its metric: '
            f"query: {QUERY_FOLDER}/{form.name}{QUERY_EXTENSION}",
        )  # fmt: skip
        return
    if path not in files:
        there = [it for it in files if it.endswith(QUERY_EXTENSION)]
        conditions.report(
            form.file, line, path,
            f'there is no file "{path}".{advice(path, there) or " Write the query into it."}',
        )  # fmt: skip
        return
    try:
        text = clean(files[path].decode("utf-8"))
    except UnicodeDecodeError as error:
        conditions.report(path, 0, path, f"the query is not UTF-8 text ({error.reason}).")
    except DataError as error:
        conditions.report(path, 1, path, str(error))
    else:
        word = first_word(text)
        if word not in ("select", "with", "values", "("):
            conditions.report(
                path, 1, word, f'a query reads: it begins with SELECT or WITH, not with "{word}".'
            )


def _check_unit(form: MetricFile, source: SourceForm, conditions: Conditions) -> None:
    unit = source.unit
    if unit is None or str(unit) in UNITS:
        return
    name = str(unit).removeprefix("traits.")
    if name == str(unit):
        allowed = [*UNITS, *(f"traits.{it}" for it in conditions.traits)]
        conditions.report(
            form.file, unit.line, str(unit),
            f'the units of a query are not "{unit}".{advice(str(unit), allowed)}',
        )  # fmt: skip
    elif name in conditions.pii:
        conditions.report(
            form.file, unit.line, str(unit),
            f"{unit} is personal data, which is sealed here and not sent to a warehouse. Let the "
            "query yield the user id: unit: user.",
        )  # fmt: skip
    elif conditions.traits and name not in conditions.traits:
        known = [f"traits.{it}" for it in conditions.traits if it not in conditions.pii]
        conditions.report(
            form.file, unit.line, str(unit),
            f'antiphon.yaml declares no trait "{name}".{advice(str(unit), known)}',
        )  # fmt: skip


def _check_bandits(conditions: Conditions) -> None:
    """A bandit learns from each unit's own outcome, which does not leave the warehouse."""
    metrics = conditions.workspace.metrics
    for found in planned(conditions.workspace):
        if found.bandit is None or found.metrics is None:
            continue
        for name in found.metrics.names:
            form = metrics.get(str(name))
            if form is not None and _is_from_sql(form, conditions):
                conditions.report(
                    found.file, name.line, str(name),
                    f'the bandit "{found.name}" reads each unit\'s outcome, and only sums of '
                    f'"{name}" leave its warehouse. Use a metric of events, or allocate by '
                    "planned weights.",
                )  # fmt: skip


def _is_from_sql(form: MetricFile, conditions: Conditions) -> bool:
    if form.ratio is None:
        return form.source is not None
    parts = (conditions.workspace.metrics.get(str(it)) for it in (form.ratio.of, form.ratio.to))
    return any(part is not None and part.source is not None for part in parts)
