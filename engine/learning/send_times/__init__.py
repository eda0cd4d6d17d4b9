"""At which hour of their day each person acts, from few and crooked counts.

Twelve clicks do not fill 24 hours: neighbouring hours lend to each other, which is nearly the whole
gain over each one's busiest hour; people alike lend a little; an answer at an hour at which much
was sent counts for less. Who acted seldom has no hour of their own and is sent to as if there were
no model. Begin with `learning`.
"""

from engine.learning.send_times.counts import HourRows
from engine.learning.send_times.judging import Judgement, judge
from engine.learning.send_times.learning import SendTimes, chances, learn

__all__ = ["HourRows", "Judgement", "SendTimes", "chances", "judge", "learn"]
