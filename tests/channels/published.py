"""A request against its vendor's own published API description, where that can be had.

The descriptions lie outside the repository (see `recorded`); where they do not, the field table
that every vendor's cases hold has to do. It is asked in any case: descriptions let unknown fields
pass.
"""

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest

from channels.calls import Call


def json_of(call: Call) -> Any:
    """The body of a request as JSON."""
    assert "json" in call.headers["Content-Type"]
    return msgspec.json.decode(call.body)


def texts(values: Mapping[str, Any]) -> None:
    """Raise unless every value is text."""
    assert {name for name, value in values.items() if not isinstance(value, str)} == set()


def check_fields(found: Any, table: Any, *, where: str = "the body") -> None:
    """Raise where a request has a field that its vendor's page does not, or lacks one.

    Args:
        table: {"name": type}, nested; "!name" has to be there; [table] is a list of such.
    """
    if isinstance(table, list):
        assert isinstance(found, list), f"{where} is no list"
        for number, each in enumerate(found):
            check_fields(each, table[0], where=f"{where}[{number}]")
    elif isinstance(table, dict):
        assert isinstance(found, dict), f"{where} is no object"
        known = {name.removeprefix("!"): inner for name, inner in table.items()}
        assert set(found) <= set(known), f"{where} has unknown {set(found) - set(known)}"
        needed = {name[1:] for name in table if name.startswith("!")}
        assert needed <= set(found), f"{where} lacks {needed - set(found)}"
        for name, value in found.items():
            check_fields(value, known[name], where=f"{where}.{name}")
    else:
        assert isinstance(found, table), f"{where} is {type(found).__name__}"


def check_published(call: Call, name: str, *, host: str) -> None:
    """Raise when the description `provider_apis/NAME` knows no such request.

    Args:
        host: Scheme and host of the vendor's own server, as the description has it.
    Raises:
        OpenAPIError: A path, a header or a field is not as described.
    """
    api = description(name)
    if api is None:
        return
    request = MockRequest(
        host,
        call.method.lower(),
        urlsplit(call.url).path,
        headers=dict(call.headers),
        data=call.body,
        content_type=call.headers["Content-Type"],
    )
    api.validate_request(request)


@functools.cache
def description(name: str) -> OpenAPI | None:
    """The description `provider_apis/NAME.json` or `.yml`; None where it is not here."""
    folder = os.environ.get("ANTIPHON_TEST_DATA")
    root = Path(folder) if folder else Path(__file__).parents[3] / "shared" / "data"
    for path in sorted((root / "provider_apis").glob(f"{name}.*")):
        text = path.read_text("utf-8")
        read = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        return OpenAPI.from_dict(read)
    return None
