"""Which segments a condition names itself, as it is written."""

from collections.abc import Iterator, Sequence

from campaigns.condition_forms import (
    AllForm,
    AnyForm,
    ConditionForm,
    NoneForm,
    NotForm,
    SegmentForm,
)
from campaigns.reading import Text


def references(form: ConditionForm) -> Iterator[Text]:
    """The segments that a condition names itself."""
    inner: Sequence[ConditionForm]
    match form:
        case SegmentForm():
            yield form.segment
            return
        case AllForm():
            inner = form.all
        case AnyForm():
            inner = form.any
        case NoneForm():
            inner = form.none
        case NotForm():
            inner = [form.not_]
        case _:
            return
    for condition in inner:
        yield from references(condition)
