"""What templates show: pictures that no reader could load, feeds and tags that are not there.

Asked while the workspace is read, not when a template is compiled: one that is live is played.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from campaigns.problems import Problem, advice
from campaigns.workspace import Workspace
from channels.content.mjml_tags import slips_in
from channels.content.templates import CompiledTemplate, Part
from channels.content.web_addresses import addresses_in, host_of, is_private

_NOT_PUBLIC: Final = "is inside a network: nobody who reads the message can load it"


def content_problems(
    workspace: Workspace, templates: Mapping[tuple[str, str], CompiledTemplate]
) -> Iterator[Problem]:
    """Feeds, columns and tags that do not exist, and pictures at private addresses."""
    seen: set[Problem] = set()
    for template in templates.values():
        for problem in (*_feeds(workspace, template), *_pictures(template), *_mjml(template)):
            if problem not in seen:
                seen.add(problem)
                yield problem
    yield from _products(workspace)


def _feeds(workspace: Workspace, template: CompiledTemplate) -> Iterator[Problem]:
    for use in template.feeds:
        feed = workspace.catalog.get(use.name)
        if feed is None:
            hint = advice(use.name, workspace.catalog) or f" Write catalog/{use.name}.csv."
            yield _problem(use.where, use.name, f'there is no feed "{use.name}" in catalog/.{hint}')
            continue
        columns = {column for row in feed.rows for column in row} if use.columns else set()
        for column in use.columns:
            if column not in columns:
                hint = advice(column, columns)
                message = f'no product of the feed "{use.name}" has the column "{column}".{hint}'
                yield _problem(use.where, column, message)


def _pictures(template: CompiledTemplate) -> Iterator[Problem]:
    for version in template.locales.values():
        page = version.parts.get("html")
        for address in addresses_in(page.source) if page is not None else ():
            if address.kind == "picture" and is_private(address.host):
                assert page is not None
                where = page.written.place(address.offset)
                yield _problem(
                    where, address.host, f'the picture at "{address.host}" {_NOT_PUBLIC}.'
                )
        picture = version.data.get("image") if isinstance(version.data, dict) else None
        if isinstance(picture, Part) and is_private(host := host_of(picture.source)):
            where = picture.written.place(0)
            yield _problem(where, host, f'the picture at "{host}" {_NOT_PUBLIC}.')


def _mjml(template: CompiledTemplate) -> Iterator[Problem]:
    for version in template.locales.values():
        page = version.parts.get("html")
        if page is None or not page.where.endswith(".mjml"):
            continue
        for offset, message in slips_in(page.source):
            yield _problem(page.written.place(offset), "", message)


def _products(workspace: Workspace) -> Iterator[Problem]:
    for feed in workspace.catalog.values():
        hosts: dict[str, str] = {}
        for row in feed.rows:
            url = row.get("image_url")
            if isinstance(url, str):
                # Of 100,000 addresses few hosts differ: taken apart once each.
                hosts.setdefault("/".join(url.split("/", 3)[:3]), str(row["id"]))
        for start, product in hosts.items():
            if is_private(host := host_of(start)):
                message = f'the picture of the product "{product}" at "{host}" {_NOT_PUBLIC}.'
                yield Problem(feed.file, 0, host, message)


def _problem(where: str, found: str, message: str) -> Problem:
    file, _, line = where.rpartition(":")
    return Problem(file, int(line), found, message)
