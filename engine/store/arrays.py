"""Columns of values as PostgreSQL arrays, packed into the server's own binary form.

psycopg packs a list value by value in Python, which cost a batch more than the server took to
write it; one `struct` a column is some eight times as fast. What it refuses: nested lists, and
types that no table of ours has.
Source of the form: `array_recv` of PostgreSQL, src/backend/utils/adt/arrayfuncs.c.
"""

from collections.abc import Callable, Sequence
from itertools import chain, repeat
from struct import Struct, pack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq import Format

_HEADER: Final = Struct(">5i")
"""Dimensions, whether there are nulls, type of a value, number of values, index of the first."""
_LENGTH: Final = Struct(">i").pack
_NULL: Final = _LENGTH(-1)


class Array(NamedTuple):
    """A packed column and the number that pg_type.dat gives arrays of its type."""

    kind: int
    packed: bytes


def packed(kind: str, values: Sequence[Any]) -> Array:
    """Pack the values of a column of type `kind`: int8, int2, float8, text or bytea.

    None becomes NULL.
    """
    return _PACKERS[kind](values)


def packed_ids(ids: Sequence[Any]) -> Array:
    """Pack ids that are all numbers, all texts or all bytes; there must be one."""
    kind = {int: "int8", str: "text", bytes: "bytea"}
    return packed(next(name for type_, name in kind.items() if isinstance(ids[0], type_)), ids)


def teach(connection: "psycopg.Connection[Any]") -> None:
    """Have a connection send such arrays as they are."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class Sent(Dumper):
        format = Format.BINARY

        def dump(self, obj: Array) -> bytes:
            return obj.packed

        def get_key(self, obj: Array, format: "Format") -> Any:  # type: ignore[override]
            return (Array, obj.kind)

        def upgrade(self, obj: Array, format: "Format") -> "Sent":  # type: ignore[override]
            it = Sent(Array)
            it.oid = obj.kind
            return it

    connection.adapters.register_dumper(Array, Sent)


def _numbers(code: str, size: int, *, one: int, many: int) -> Callable[[Sequence[Any]], Array]:
    """A packer of numbers with this code of `struct`; `one` and `many` are its types' numbers."""
    alone = Struct(f">{code}").pack

    def pack_all(values: Sequence[Any]) -> Array:
        if None in values:
            return _array([None if it is None else alone(it) for it in values], one, many)
        # Every value stands after its length; all of them in one breath.
        body = pack(f">{f'i{code}' * len(values)}", *chain(*zip(repeat(size), values)))
        return Array(many, _HEADER.pack(1, 0, one, len(values), 1) + body)

    return pack_all


def _texts(values: Sequence[str | None]) -> Array:
    return _array([None if it is None else it.encode() for it in values], 25, 1009)


def _byteas(values: Sequence[bytes | None]) -> Array:
    return _array(values, 17, 1001)


def _array(values: Sequence[bytes | None], one: int, many: int) -> Array:
    pieces = [b""]
    for value in values:
        if value is None:
            pieces.append(_NULL)
        else:
            pieces += (_LENGTH(len(value)), value)
    pieces[0] = _HEADER.pack(1, None in values, one, len(values), 1)
    return Array(many, b"".join(pieces))


_PACKERS: Final[dict[str, Callable[[Sequence[Any]], Array]]] = {
    "int8": _numbers("q", 8, one=20, many=1016),
    "int2": _numbers("h", 2, one=21, many=1005),
    "float8": _numbers("d", 8, one=701, many=1022),
    "text": _texts,
    "bytea": _byteas,
}
