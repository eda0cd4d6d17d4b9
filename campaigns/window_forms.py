"""Which event times count, as written: shared by every condition about events."""

from pydantic import model_validator

from campaigns.forms import Flag, Form, Span, Words


class WindowForm(Form):
    """Which times count: `within` a span before now and [`since`, `until`), or `ever`."""

    within: Span | None = None
    since: Words | None = None
    until: Words | None = None
    ever: Flag = False

    @model_validator(mode="after")
    def _is_bounded_or_ever(self) -> "WindowForm":
        bounded = self.since is not None or self.until is not None
        given = [
            word
            for word, is_given in (
                ("within", self.within is not None),
                ("since/until", bounded),
                ("ever", self.ever),
            )
            if is_given
        ]
        if self.ever and len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other. Keep one")
        return self
