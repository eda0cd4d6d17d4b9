"""A model at rest: arrays and a schema, and never a pickle."""

import numpy as np
import pytest

from engine.core.errors import StoreError
from engine.learning.artifact import Artifact, pack, unpack

KEPT = Artifact(
    {"weights": np.arange(600, dtype=np.float64), "names": np.array(["a", "ü"])},
    {"kind": "ease", "zones": ["Europe/Berlin"]},
)


def test_what_is_packed_comes_back_with_its_types() -> None:
    found = unpack(pack(KEPT))

    assert found.schema == KEPT.schema
    assert set(found.arrays) == set(KEPT.arrays)
    for name, array in KEPT.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert (found.arrays[name] == array).all()


def test_python_objects_are_refused() -> None:
    with pytest.raises(ValueError, match='the array "people" holds Python objects'):
        pack(Artifact({"people": np.array([{"id": 1}], dtype=object)}, {}))


def test_whatever_is_damaged_is_one_error_that_says_what_to_do() -> None:
    data = pack(KEPT)
    said: list[str] = []
    cut = [data[:at] for at in (0, 1, 40, len(data) // 2, len(data) - 1)]
    turned = [
        data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in range(0, len(data), 7)
    ]

    for damaged in (*cut, *turned):
        try:
            unpack(damaged)
        except StoreError as error:
            said.append(str(error))

    assert all("Train it again" in it for it in said)
    assert len(said) >= len(cut) + len(turned) // 2, "the rest fell on bytes that say nothing"
