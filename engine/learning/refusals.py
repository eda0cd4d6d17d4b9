"""What a model says when it will not answer: why, in numbers, and what would mend it."""


class Refused(Exception):
    """Nothing is learnt from this: too little, too unstable, or all alike.

    A refusal is an outcome, not a failure: it is kept with the run, the champion stays, and
    campaigns that use the model fall back as they declared.

    Attributes:
        why: What was found, with its numbers: `people fall into no stable groups (best agreement
            between refits 0.41; 0.80 is needed)`.
        mend: What to do: `add features that tell people apart, or lower min_stability`.
    """

    def __init__(self, why: str, mend: str = "") -> None:
        super().__init__(f"{why}. {mend[0].upper()}{mend[1:]}" if mend else why)
        self.why = why
        self.mend = mend

    def __reduce__(self) -> "tuple[type[Refused], tuple[str, str]]":
        """Kept whole when a worker process hands it back."""
        return type(self), (self.why, self.mend)
