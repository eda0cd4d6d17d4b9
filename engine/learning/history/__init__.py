"""The log as it was known at an instant: what features, labels and recommenders are made of.

`opened` is the way in, `reading` says how a workspace's log is read, `known` draws the line in
time, `people` who is in it. Each of `acts`, `traits`, `clocks` and `sent` pours tables into a lake;
`measures`, `labels`, `buying`, `liking` and `hours` ask them. Nothing here is written.
"""

from engine.learning.history.opened import History, history
from engine.learning.history.reading import Reading, reading_of

__all__ = ["History", "Reading", "history", "reading_of"]
