"""What runs a loop of the engine for as long as the process lives."""

import logging
from collections.abc import Callable
from threading import Event
from typing import Final

from engine.core.errors import NotOwner, StoreError
from engine.core.model.instants import MINUTE
from engine.steady import elapsed

log = logging.getLogger("antiphon.engine")

PAUSE_SECONDS: Final = 0.5
TROUBLE_SECONDS_MAX: Final = 30.0
QUIET: Final = MINUTE
"""A loop that ran this long before it failed starts over with the shortest pause."""


def keep_running(loop: Callable[[], None], *, stop: Event, failed: Callable[[str], None]) -> None:
    """Run a loop until it is stopped; trouble is logged and waited out.

    Args:
        failed: Told why when ownership is lost, which ends the process: nothing is tried again.
    """
    pause = PAUSE_SECONDS
    while not stop.is_set():
        started = elapsed()
        try:
            loop()
        except NotOwner as error:
            failed(str(error))
            return
        except Exception as error:
            if elapsed() - started > QUIET:
                pause = PAUSE_SECONDS
            word = "waits" if isinstance(error, StoreError) else "failed"
            log.exception("%s %s, next try in %.1f s", loop.__name__, word, pause)
            stop.wait(pause)
            pause = min(TROUBLE_SECONDS_MAX, pause * 2)
