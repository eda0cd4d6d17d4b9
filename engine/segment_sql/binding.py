"""Values on their way into a statement: always as bound parameters, never as part of its text."""

from typing import Any


class Binding:
    """The parameters of one statement. Equal values share one, so equal parts have equal text."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._names: dict[tuple[str, str], str] = {}

    def __call__(self, value: Any) -> str:
        """What stands for the value in the text.

        >>> bind = Binding()
        >>> bind("DE"), bind(1), bind(True), bind("DE")
        ('$p1', '$p2', '$p3', '$p1')
        """
        key = (type(value).__name__, repr(value))
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"p{len(self._names) + 1}"
            self.values[name] = value
        return f"${name}"

    def number(self, value: float) -> str:
        """A number, compared as the core compares: by value, whole or not."""
        return f"{self(value)}::DOUBLE"

    def instant(self, value: int) -> str:
        """An instant or a span, in microseconds."""
        return f"{self(value)}::BIGINT"
