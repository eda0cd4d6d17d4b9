"""What a trained model is kept as: arrays by name and a schema in JSON; never a pickle.

A pickle breaks between versions of a library and runs whatever code it holds when it is read.
"""

import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from zipfile import BadZipFile

from engine.core.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA: Final = "schema.json"
"""The member of the archive that holds the schema, as bytes."""

DAMAGED: Final = (
    OSError, ValueError, LookupError, EOFError, NotImplementedError, RuntimeError, BadZipFile,
    zlib.error,
)  # fmt: skip
"""What reading an archive raises, by where its bytes were changed."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """A model at rest. `schema` is plain data that JSON knows: names, settings, kinds."""

    arrays: "Mapping[str, NDArray[Any]]"
    schema: Mapping[str, Any]


def pack(artifact: Artifact) -> bytes:
    """The artifact as a compressed npz archive; equal artifacts give equal arrays back.

    Raises:
        ValueError: If an array holds Python objects.
    """
    import numpy as np

    if SCHEMA in artifact.arrays:
        raise ValueError(f'an array cannot be called "{SCHEMA}": that is the schema\'s place')
    written = json.dumps(artifact.schema, sort_keys=True, allow_nan=False).encode()
    members = {**artifact.arrays, SCHEMA: np.frombuffer(written, dtype=np.uint8)}
    for name, array in members.items():
        if array.dtype.hasobject:
            raise ValueError(f'the array "{name}" holds Python objects; only numbers and texts fit')
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **members)
    return out.getvalue()


def unpack(data: bytes) -> Artifact:
    """What `pack` wrote.

    Raises:
        StoreError: If the bytes are no such archive.
    """
    import numpy as np

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        schema = json.loads(arrays.pop(SCHEMA).tobytes())
    except DAMAGED as error:
        raise StoreError(f"a stored model cannot be read ({error}). Train it again") from error
    return Artifact(arrays, schema)
