"""How a profile's state is written: as msgpack, and where that is long, compressed.

What is long in a state are names and instants that thousands of others hold as well. So a long one
is compressed with a dictionary that was trained on states of this very workspace; its blob begins
with a byte that no msgpack begins with, and the mark of that dictionary. A dictionary is named by
its content, never changed and never removed: whatever is renamed, erased or released later, a blob
reads as it was written. Blobs without the byte, as 0.1 and 0.2 wrote them all, are plain.
"""

import threading
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

import msgspec
import zstandard
from msgspec.structs import replace

from engine.core.errors import StoreError
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import State
from engine.store import bulk
from engine.store.connection import Connection

LONG: Final = 768
"""Bytes from which on compressing is worth its 3 µs; below, five and more lie on one page."""

SAMPLES: Final = 1_000
"""Long states from which a dictionary is trained: about 60 ms, once."""

AGAIN: Final = 10_000
"""Long states written until it is asked whether another dictionary would do better by now; each
time twice as many as the last, because a workspace changes most while it is young."""

_AGAIN_MAX: Final = 320_000

_BETTER: Final = 0.95
"""What another dictionary must come to, of the bytes there are without it, to be worth a row."""

_DICTIONARY_BYTES: Final = 4_096
_LEVEL: Final = -1
"""2 % longer than level 1 and a sixth faster."""

_COMPRESSED: Final = 0xC1
_HEAD: Final = bytes([_COMPRESSED])
_MARK_BYTES: Final = 4
_START: Final = len(_HEAD) + _MARK_BYTES

_INSTANTS: Final = range(10**15, 3 * 10**15)
"""From 2001 to 2065; another number may be an amount, an id or a number to call."""
_COUNTS: Final = range(256)

_encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(State).decode
"""From msgpack to the state."""

_Change = Callable[[bytes], bytes]


class _Opened(threading.local):
    """What decompresses, by mark: one for each thread, because it is not to be shared."""

    def __init__(self) -> None:
        self.by_mark: dict[bytes, _Change] = {}


_opened = _Opened()


def plain(blob: bytes, connection: Connection) -> bytes:
    """The msgpack of a state as it stands in the database.

    Raises:
        StoreError: If its dictionary is not there, which only a row lost by other hands explains.
    """
    if blob[0] != _COMPRESSED:
        return blob
    decompress = _opened.by_mark.get(blob[1:_START])
    if decompress is None:
        decompress = _open(blob[1:_START], connection)
    return decompress(blob[_START:])


def is_compressed(blob: bytes) -> bool:
    """Whether what it holds cannot be seen in it as it stands."""
    return blob[0] == _COMPRESSED


def mark_of(content: bytes) -> bytes:
    """The name of a dictionary, the same in every process."""
    return blake2b(content, digest_size=_MARK_BYTES).digest()


class Packer:
    """Writes the states of one database; whoever plays keeps one from batch to batch.

    It learns by itself: from the first `SAMPLES` long states a dictionary is trained, and from as
    many again after `AGAIN` more, if it does better by then. Nothing is compressed with one that is
    not known to be committed.
    """

    def __init__(self) -> None:
        self._compress: _Change | None = None
        self._head = b""
        self._left = 0
        self._again = AGAIN
        self._learned: list[bytes] = []
        self._judged: list[bytes] = []
        self._offered: bytes | None = None
        self._has_looked = False

    def pack(self, state: State) -> bytes:
        """A state as it is to be stored."""
        packed = _encode(state)
        if len(packed) < LONG:
            return packed
        self._left -= 1
        if self._left < 0:
            self._study(state, packed)
        if self._compress is None:
            return packed
        return self._head + self._compress(packed)

    def settle(self, connection: Connection, *, now: Instant) -> None:
        """Store what was learned and take up what is stored, in the transaction of a batch."""
        if not self._has_looked:
            self._has_looked = True
            rows = connection.execute(
                "SELECT content FROM state_dictionary ORDER BY made_at DESC, mark LIMIT 1"
            )
            if rows:
                self._adopt(bytes(rows[0][0]))
        if self._offered is None:
            return
        mark = mark_of(self._offered)
        if connection.execute("SELECT 1 FROM state_dictionary WHERE mark = ?", (mark,)):
            self._adopt(self._offered)
            return
        # Used from the next batch on: this transaction may yet be undone.
        bulk.insert(
            connection,
            "state_dictionary",
            ("mark", "content", "made_at"),
            [(mark, self._offered, now)],
            on_conflict="ignore",
        )

    def _adopt(self, content: bytes) -> None:
        self._compress, self._head = _compressor(content), _HEAD + mark_of(content)
        self._left, self._learned, self._judged, self._offered = self._again, [], [], None

    def _study(self, state: State, packed: bytes) -> None:
        """Half of the samples teach, the other half, written as they are, judge."""
        if len(self._learned) <= len(self._judged):
            self._learned.append(_encode(impersonal(state)))
        else:
            self._judged.append(packed)
        if len(self._judged) == SAMPLES // 2:
            learned, judged = self._learned, self._judged
            self._left, self._learned, self._judged = self._again, [], []
            self._again = min(2 * self._again, _AGAIN_MAX)
            content = train(learned)
            if content is not None and self._is_worth(content, judged):
                self._offered = content

    def _is_worth(self, content: bytes, judged: list[bytes]) -> bool:
        compress = _compressor(content)
        known: _Change = self._compress or bytes
        return sum(len(compress(it)) for it in judged) <= _BETTER * sum(
            len(known(it)) for it in judged
        )


def train(samples: list[bytes]) -> bytes | None:
    """A dictionary of what they have in common; None if that is nothing."""
    try:
        return zstandard.train_dictionary(_DICTIONARY_BYTES, [*samples]).as_bytes()
    except zstandard.ZstdError:
        return None


def impersonal(state: State) -> State:
    """What a dictionary may learn from: names of the workspace and instants, nothing anyone said.

    A dictionary outlives the people it was trained on, and their erasure.
    """
    return replace(
        state,
        features={key: _blank(value) for key, value in state.features.items()},
        entries={f"{key.partition(chr(10))[0]}\n": at for key, at in state.entries.items()},
        heard={},
        told={},
    )


def _blank(value: Any) -> Any:
    """The same shape without texts and amounts; instants and small counts stay."""
    if type(value) is int:
        return value if value in _INSTANTS or value in _COUNTS or abs(value) == NEVER else 0
    if type(value) is list:
        return [_blank(each) for each in value]
    return value if value is None or type(value) is bool else ""


def _compressor(content: bytes) -> _Change:
    dictionary = zstandard.ZstdCompressionDict(content)
    dictionary.precompute_compress(level=_LEVEL)  # or every call would digest it anew
    return zstandard.ZstdCompressor(
        level=_LEVEL,
        dict_data=dictionary,
        write_checksum=False,
        write_content_size=True,
        write_dict_id=False,
    ).compress


def _open(mark: bytes, connection: Connection) -> _Change:
    rows = connection.execute("SELECT content FROM state_dictionary WHERE mark = ?", (mark,))
    if not rows:
        raise StoreError(
            f"profile_state: a state is written with the dictionary {mark.hex()}, which is not in "
            "state_dictionary. Rows there are never deleted by Antiphon: restore the table from "
            "the backup that the states come from"
        )
    dictionary = zstandard.ZstdCompressionDict(bytes(rows[0][0]))
    decompress = _opened.by_mark[mark] = zstandard.ZstdDecompressor(dict_data=dictionary).decompress
    return decompress
