"""What an item is: TF-IDF of its texts and attributes, compared by cosine.

Weak by itself, and the only word about an item that nobody has touched yet. Texts are cut into
words, attributes stand as they are (`category=tea`); either half counts as much as the other.
Weights are scikit-learn's: `tf * (ln((1 + n) / (1 + df)) + 1)`, rows of length one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TERMS_MAX: Final = 50_000
"""Of the words, the most frequent; a feed of long descriptions has more than can tell apart."""

_WORD: Final = re.compile(r"\w\w+")

Row = Mapping[str, Any]
"""An item's attributes, as the catalog has them."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """By what an item that came later is read as the others were.

    Attributes:
        text: Columns that were cut into words; `attributes` those that stand as they are.
        words: Terms of the first half, in the order of their columns; `marks` of the second.
        idf: Of each term, words first.
    """

    text: tuple[str, ...]
    attributes: tuple[str, ...]
    words: tuple[str, ...]
    marks: tuple[str, ...]
    idf: "NDArray[np.float64]"


@dataclass(frozen=True, eq=False)
class Content:
    """Items by terms, sparse rows of length one (or empty, where nothing is told).

    Attributes:
        vocabulary: None where it was kept by a release that kept none.
    """

    starts: "NDArray[np.int64]"
    codes: "NDArray[np.int32]"
    values: "NDArray[np.float32]"
    n_terms: int
    vocabulary: Vocabulary | None = None

    def table(self) -> Any:
        """The same as a scipy.sparse.csr_array."""
        from scipy.sparse import csr_array

        shape = (len(self.starts) - 1, self.n_terms)
        return csr_array((self.values, self.codes, self.starts), shape=shape)


def fit_content(
    rows: Sequence[Row], *, text: Sequence[str], attributes: Sequence[str]
) -> Content | None:
    """What the items are, a row each; None if not one tells anything."""
    import numpy as np

    words = [Counter(_words(row, text)) for row in rows]
    marks = [Counter(_marks(row, attributes)) for row in rows]
    of_words, of_marks = _weighed(words), _weighed(marks)
    if not of_words and not of_marks:
        return None
    vocabulary = Vocabulary(
        tuple(text),
        tuple(attributes),
        tuple(of_words),
        tuple(of_marks),
        np.asarray([*of_words.values(), *of_marks.values()], dtype=np.float64),
    )
    return _read(vocabulary, words, marks)


def with_rows(content: Content, rows: Sequence[Row]) -> Content:
    """The same items and, behind them, these, told by the terms that were learnt."""
    import numpy as np

    known = content.vocabulary
    if known is None:
        nothing = np.full(len(rows), content.starts[-1], dtype=np.int64)
        return replace(content, starts=np.concatenate([content.starts, nothing]))
    new = _read(
        known,
        [Counter(_words(row, known.text)) for row in rows],
        [Counter(_marks(row, known.attributes)) for row in rows],
    )
    return replace(
        content,
        starts=np.concatenate([content.starts, content.starts[-1] + new.starts[1:]]),
        codes=np.concatenate([content.codes, new.codes]),
        values=np.concatenate([content.values, new.values]),
    )


def _read(
    vocabulary: Vocabulary, words: Sequence[Counter[str]], marks: Sequence[Counter[str]]
) -> Content:
    import numpy as np
    from scipy.sparse import hstack

    n_words = len(vocabulary.words)
    halves = [
        _tfidf(counted, terms, idf)
        for counted, terms, idf in (
            (words, vocabulary.words, vocabulary.idf[:n_words]),
            (marks, vocabulary.marks, vocabulary.idf[n_words:]),
        )
        if terms
    ]
    table = _of_length_one(hstack(halves, format="csr"))
    table.sort_indices()
    return Content(
        table.indptr.astype(np.int64),
        table.indices.astype(np.int32),
        table.data.astype(np.float32),
        table.shape[1],
        vocabulary,
    )


def _words(row: Row, names: Sequence[str]) -> Iterable[str]:
    for name in names:
        value = row.get(name)
        if value is not None:
            yield from _WORD.findall(str(value).lower())


def _marks(row: Row, names: Sequence[str]) -> Iterable[str]:
    for name in names:
        value = row.get(name)
        several = value if isinstance(value, list | tuple) else (value,)
        yield from (f"{name}={str(it).strip().lower()}" for it in several if it not in (None, ""))


def _weighed(documents: Sequence[Counter[str]]) -> dict[str, float]:
    """Terms in the order of their columns, and how much each tells."""
    import numpy as np

    frequency: Counter[str] = Counter()
    for terms in documents:
        frequency.update(terms.keys())
    # The most frequent, ties by the alphabet: the order of the feed must not matter.
    kept = sorted(frequency, key=lambda it: (-frequency[it], it))[:TERMS_MAX]
    n = len(documents)
    return {it: float(np.log((1 + n) / (1 + frequency[it])) + 1) for it in sorted(kept)}


def _tfidf(
    documents: Sequence[Counter[str]], terms: Sequence[str], idf: "NDArray[np.float64]"
) -> Any:
    """Sparse rows of length one."""
    from scipy.sparse import csr_array

    weights = dict(zip(terms, enumerate(idf.tolist()), strict=True))
    starts, codes, values = [0], [], []
    for counted in documents:
        for term in sorted(counted):
            if term in weights:
                place, weight = weights[term]
                codes.append(place)
                values.append(counted[term] * weight)
        starts.append(len(codes))
    return _of_length_one(csr_array((values, codes, starts), shape=(len(documents), len(terms))))


def _of_length_one(table: Any) -> Any:
    import numpy as np

    lengths = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel())
    per_value = np.repeat(np.where(lengths > 0, lengths, 1.0), np.diff(table.indptr))
    table.data = table.data / per_value
    return table
