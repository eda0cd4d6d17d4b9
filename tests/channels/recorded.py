"""Signature vectors, recorded callbacks and published API descriptions, where they can be had.

They lie outside the repository: in the folder named by ANTIPHON_TEST_DATA, or in `shared/data`
beside the checkout. Whatever needs them skips with a clear word; a case made here runs beside it.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest


def recorded(name: str) -> Path:
    """A file or folder of the data, or skip."""
    folder = os.environ.get("ANTIPHON_TEST_DATA")
    root = Path(folder) if folder else Path(__file__).parents[3] / "shared" / "data"
    path = root / name
    if not path.exists():
        pytest.skip(f"{name} is not here; set ANTIPHON_TEST_DATA to the folder of recorded data")
    return path


def vectors(name: str) -> list[dict[str, Any]]:
    """The cases of `signatures/NAME.json`, or skip."""
    cases: list[dict[str, Any]] = json.loads(recorded(f"signatures/{name}.json").read_text())[
        "cases"
    ]
    return cases
