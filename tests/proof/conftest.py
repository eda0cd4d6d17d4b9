"""The one lake that the examples of a test are poured into, one after the other."""

from collections.abc import Iterator

import pytest

from engine.segment_sql.lake import Lake
from tests.proof.asking import a_lake


@pytest.fixture(scope="session")
def lake() -> Iterator[Lake]:
    with a_lake() as opened:
        yield opened
