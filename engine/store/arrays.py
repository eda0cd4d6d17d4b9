"""Columns of values as PostgreSQL arrays, packed into the server's own binary form.

psycopg packs a list value by value in Python, which cost a batch more than the server took to
write it; one `struct` a column is some eight times as fast. What it refuses: nested lists and
types that no table of ours has.
Source of the form: array_recv in https://github.com/postgres/postgres, src/backend/utils/adt.
"""

from collections.abc import Callable, Sequence
from itertools import chain, repeat
from struct import Struct, pack
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg

_HEADER: Final = Struct(">5i")  # dimensions, has nulls, type, length, first index
_LENGTH: Final = Struct(">i").pack
_NULL: Final = _LENGTH(-1)


class Array(bytes):
    """A packed column. Its class tells psycopg the type, which lets a statement be prepared."""

    __slots__ = ()


class Int8Array(Array):
    """Numbers of 64 bits."""

    __slots__ = ()


class Int2Array(Array):
    """Numbers of 16 bits."""

    __slots__ = ()


class Float8Array(Array):
    """Numbers with a fraction."""

    __slots__ = ()


class TextArray(Array):
    """Texts."""

    __slots__ = ()


class ByteaArray(Array):
    """Bytes."""

    __slots__ = ()


_OIDS: Final = {Int8Array: 1016, Int2Array: 1005, Float8Array: 1022, TextArray: 1009,
                ByteaArray: 1001}  # fmt: skip
"""The numbers that pg_type.dat gives these arrays."""


def packed(kind: str, values: Sequence[Any]) -> Array:
    """Pack the values of one column of type `kind` (int8, int2, float8, text or bytea).

    None becomes NULL.
    """
    return _PACKERS[kind](values)


def kind_of(value: int | str | bytes) -> str:
    """The type of a column that holds ids like this one."""
    if isinstance(value, str):
        return "text"
    return "int8" if isinstance(value, int) else "bytea"


def teach(connection: "psycopg.Connection[Any]") -> None:
    """Have a connection send these arrays as they are."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class Sent(Dumper):
        format = Format.BINARY

        def dump(self, obj: Array) -> bytes:
            return obj

    for kind, number in _OIDS.items():
        dumper = type(f"{kind.__name__}Dumper", (Sent,), {"oid": number})
        connection.adapters.register_dumper(kind, dumper)


def _texts(values: Sequence[str | None]) -> Array:
    encoded = [None if value is None else value.encode() for value in values]
    return TextArray(_of_bytes(encoded, 25))


def _byteas(values: Sequence[bytes | None]) -> Array:
    return ByteaArray(_of_bytes(values, 17))


def _of_bytes(values: Sequence[bytes | None], kind: int) -> bytes:
    has_nulls = False
    pieces = [b""]
    for value in values:
        if value is None:
            has_nulls = True
            pieces.append(_NULL)
        else:
            pieces.append(_LENGTH(len(value)))
            pieces.append(value)
    pieces[0] = _HEADER.pack(1, has_nulls, kind, len(values), 1)
    return b"".join(pieces)


def _numbers(array: type[Array], code: str, size: int, kind: int) -> Callable[..., Array]:
    one = Struct(f">{code}").pack

    def of(values: Sequence[Any]) -> Array:
        n = len(values)
        if None in values:
            return array(_of_bytes([None if it is None else one(it) for it in values], kind))
        # Every value goes after its length, all in one breath.
        body = pack(f">{f'i{code}' * n}", *chain.from_iterable(zip(repeat(size), values)))
        return array(_HEADER.pack(1, 0, kind, n, 1) + body)

    return of


_PACKERS: Final[dict[str, Callable[[Sequence[Any]], Array]]] = {
    "int8": _numbers(Int8Array, "q", 8, 20),
    "int2": _numbers(Int2Array, "h", 2, 21),
    "float8": _numbers(Float8Array, "d", 8, 701),
    "text": _texts,
    "bytea": _byteas,
}
