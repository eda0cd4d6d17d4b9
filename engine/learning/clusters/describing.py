"""Groups in words and original units: who they are, so that nobody sends to "cluster 3"."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import TYPE_CHECKING, Any, Final

from engine.learning.clusters.preparing import MISSING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

OUTLIER: Final = "outlier"
"""The label of people in no group; its number is 0."""
TOLD: Final = 3
"""Features that a description names."""
SLIGHT: Final = 0.25
"""A feature nearer to everybody's than this many deviations is not worth a word."""
LABEL_LENGTH_MAX: Final = 48
REVENUE: Final = "monetary"

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "monetary": ("big spenders", "small spenders"),
    "frequency": ("frequent buyers", "rare buyers"),
    "recency_days": ("bought long ago", "bought lately"),
    "tenure_days": ("long known", "newly known"),
    "interaction_recency_days": ("long unseen", "lately seen"),
    "n_sessions": ("frequent visitors", "rare visitors"),
    "session_minutes": ("long visits", "short visits"),
    "n_sent": ("often written to", "seldom written to"),
    "open_rate": ("open much", "open little"),
    "click_rate": ("click much", "click little"),
}
"""A feature above and below what is usual; those named first where two tell as much."""
STARTS: Final[Mapping[str, tuple[str, str]]] = {
    "n_interactions": ("active", "quiet"),
    "n_sessions": ("frequent visitors", "rare visitors"),
    "session_minutes": ("long visits", "short visits"),
    "affinity:": ("fond of {}", "little {}"),
    "hour:": ("around {} o'clock", "not around {} o'clock"),
    "never_": ("never {}", "once {} at least"),
    "traits.": ("high {}", "low {}"),
}
"""The same by how a feature's name starts; {} is the rest of it."""
MEDIANS: Final[Mapping[str, str]] = {
    "recency_days": "last bought {} days ago",
    "frequency": "bought on {} days",
    "monetary": "{} spent",
    "tenure_days": "known for {} days",
    "interaction_recency_days": "last seen {} days ago",
    "n_sessions": "{} sessions",
}


@dataclass(frozen=True)
class Group:
    """One group.

    Attributes:
        id: Its number, the same in every refit; 0 are the outliers.
        label: What segments read, kept as long as the group lives.
        title: What it is called by today's figures.
        n: People in it.
        share: Of all people.
        revenue: Its share of the money, where money is among the features.
        medians: By feature, in original units; the mean of flags. None where nothing is known.
        z: By feature, in deviations from everybody's mean, on the model's scale.
    """

    id: int
    label: str
    title: str
    n: int
    share: float
    revenue: float | None = None
    medians: Mapping[str, float | None] = field(default_factory=dict)
    z: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def top(self) -> tuple[str, ...]:
        """The features that tell it from the others, most telling first; at most three."""
        order = list(WORDS)

        def telling(name: str) -> tuple[float, int, str]:
            # In half deviations: what is about as telling is named in one order from run to run.
            known = order.index(name) if name in WORDS else len(order)
            return -round(abs(self.z[name]) * 2), known, name

        told = sorted(self.z, key=telling)
        return tuple(name for name in told if abs(self.z[name]) >= SLIGHT)[:TOLD]

    @property
    def description(self) -> str:
        """A sentence or two in original units."""
        money = "" if self.revenue is None else f", {_percent(self.revenue)} of the revenue"
        people = "1 person" if self.n == 1 else f"{self.n:,} people"
        names = self.top or tuple(self.medians)[:TOLD]
        told = "; ".join(filter(None, (self._told(name) for name in names)))
        first = f"{people} ({_percent(self.share)}){money}."
        return f"{first} Typically: {told}." if told else first

    def _told(self, name: str) -> str:
        value = self.medians.get(name)
        if name.endswith(MISSING):
            return ""
        if value is None:
            return f"{plain(name)} unknown"
        if name in self.flags:
            return f"{_percent(value)} {word(name, 1.0)}"
        return typical(name, value)


def typical(name: str, value: float) -> str:
    """A median in words: `bought on 9 days`.

    >>> typical("frequency", 1.0), typical("recency_days", 27.1)
    ('bought on 1 day', 'last bought 27.1 days ago')
    """
    told = MEDIANS.get(name, plain(name) + " {}").format(amount(value))
    return re.sub(r"(?<![\d.,])(1 \w+)s\b", r"\1", told)


def described(
    places: "Places",
    *,
    values: "Floats",
    names: Sequence[str],
    scaled: "Floats",
    scaled_names: Sequence[str],
    n_groups: int,
) -> list[Group]:
    """Groups by place with their figures; numbers and names are given afterwards.

    Args:
        places: Of each person; negative in no group.
        values: In original units, columns `names`; NaN unknown.
        scaled: On the model's scale, columns `scaled_names`.
    """
    import numpy as np

    mean, deviation = scaled.mean(axis=0), scaled.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    flags = tuple(
        name
        for i, name in enumerate(names)
        if bool(np.isin(values[~np.isnan(values[:, i]), i], (0.0, 1.0)).all())
    )
    money = values[:, names.index(REVENUE)] if REVENUE in names else None
    spent = None if money is None else np.maximum(np.nan_to_num(money), 0.0)
    groups = []
    for g in range(n_groups):
        mine = places == g
        n = int(mine.sum())
        typical: dict[str, float | None] = {}
        for i, name in enumerate(names):
            column = values[mine, i]
            column = column[~np.isnan(column)]
            typical[name] = _typical(column, is_flag=name in flags)
        z = (scaled[mine].mean(axis=0) - mean) / deviation if n else np.zeros(len(scaled_names))
        total = 0.0 if spent is None else float(spent.sum())
        groups.append(
            Group(
                id=0,
                label="",
                title="",
                n=n,
                share=n / len(places),
                revenue=None if spent is None or total == 0 else float(spent[mine].sum()) / total,
                medians=typical,
                z=dict(zip(scaled_names, z.tolist(), strict=True)),
                flags=flags,
            )
        )
    return groups


def _typical(known: "Floats", *, is_flag: bool) -> float | None:
    import numpy as np

    if len(known) == 0:
        return None
    return float(known.mean()) if is_flag else float(np.quantile(known, 0.5))


def titled(groups: Sequence[Group]) -> list[Group]:
    """With titles, each once: as many telling features as it takes, then figures, then numbers."""
    titles = [_title(group, 2) for group in groups]
    longer_ways: tuple[Callable[[Group], str], ...] = (
        lambda it: _title(it, TOLD),
        lambda it: f"{_title(it, 1)} ({_figures(it)})",
    )
    for longer in longer_ways:
        # The same words in another order are no other name.
        words = [sorted(title.split(", ")) for title in titles]
        titles = [
            longer(group) if words.count(own) > 1 else title
            for group, title, own in zip(groups, titles, words, strict=True)
        ]
    seen: dict[str, int] = {}
    out = []
    for group, title in zip(groups, titles, strict=True):
        seen[title] = seen.get(title, 0) + 1
        out.append(replace(group, title=title if seen[title] == 1 else f"{title} {seen[title]}"))
    return out


def slug(title: str, taken: Sequence[str]) -> str:
    """A label for a new group that none ever had.

    >>> slug("Big spenders, lately seen", ["outlier"])
    'big-spenders-lately-seen'
    >>> slug("frequent buyers", ["frequent-buyers"])
    'frequent-buyers-2'
    """
    base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:LABEL_LENGTH_MAX].strip("-")
    base = base or "group"
    label, i = base, 1
    while label in taken or label == OUTLIER:
        i += 1
        label = f"{base}-{i}"
    return label


def word(name: str, z: float) -> str:
    """A feature above (z > 0) or below what is usual, in a word or two.

    >>> word("monetary", 2.1), word("affinity:Shoes", -1.0), word("device=mobile", 0.8)
    ('big spenders', 'little Shoes', 'on mobile')
    """
    side = 0 if z > 0 else 1
    if name.endswith(MISSING):
        base = plain(name.removesuffix(MISSING))
        return f"{base} unknown" if side == 0 else f"{base} known"
    if name in WORDS:
        return WORDS[name][side]
    for start, words in STARTS.items():
        if name.startswith(start):
            return words[side].format(plain(name.removeprefix(start)))
    if "=" in name:
        what, _, level = name.partition("=")
        kind = "on {}" if what == "device" else f"{plain(what)} {{}}"
        return ("" if side == 0 else "not ") + kind.format(level)
    return f"{'high' if side == 0 else 'low'} {plain(name)}"


def plain(name: str) -> str:
    """A column's name without the marks of code.

    >>> plain("traits.loyalty_points"), plain("n_sent")
    ('loyalty points', 'n sent')
    """
    return name.removeprefix("traits.").replace("_", " ").replace(":", " ")


def amount(value: float) -> str:
    """A number as people say it.

    >>> amount(0.1234), amount(12.34), amount(412.6), amount(-3.0)
    ('0.12', '12.3', '413', '−3')
    """
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}".replace("-", "−")


def _title(group: Group, n: int) -> str:
    told = group.top[:n]
    return ", ".join(word(name, group.z[name]) for name in told) or "close to average"


def _figures(group: Group) -> str:
    known = [
        (name, value)
        for name in (group.top or tuple(group.medians))
        if (value := group.medians.get(name)) is not None and not isnan(value)
    ]
    return ", ".join(f"{plain(name)} {amount(value)}" for name, value in known[:2]) or "no figures"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.095 or share == 0 else f"{share * 100:.1f} %"


def as_plain(group: Group) -> dict[str, Any]:
    """As JSON."""
    return {**group.__dict__, "medians": dict(group.medians), "z": dict(group.z),
            "flags": list(group.flags)}  # fmt: skip


def of_plain(given: Mapping[str, Any]) -> Group:
    """What `as_plain` made."""
    return Group(**{**given, "flags": tuple(given["flags"])})
