"""Every error Antiphon raises on purpose, drawn once.

    AntiphonError
    ├── UsageError              the command line or the workspace cannot be used as given (exit 2)
    │   └── CampaignError       a workspace file says something the language does not allow
    ├── StoreError              the database refused, is newer than this program, or is busy
    │   ├── NotOwner            another process owns what this one wanted to write
    │   ├── Outdated            people stand in a version that was applied after we last looked
    │   ├── Overtaken           the outbox was faster: what was decided must be decided again
    │   ├── DiskFull            there is no room for what was to be written
    │   ├── Overloaded          more is waiting than we may hold: come back later
    │   └── CommitUnknown       nobody can tell whether a transaction was committed
    ├── JourneyLoop             campaigns set each other off without end
    ├── InvalidEvent            an incoming event or field breaks the limits; names the field
    ├── ProviderError           a channel's provider did not accept a message
    │   ├── Retryable           try again later: throttled, not sent
    │   └── Refused             never try again: recipient, message, configuration or account
    └── CallbackRefused         what a provider, or somebody in its name, told us later
        ├── Forged              its signature, token or age is wrong: nothing in it is believed
        └── Unreadable          it is signed as it should be and cannot be understood

A class's docstring is its default message. Messages name where, what was found, what is allowed
and what to do; they never hold an address or a secret.
"""


class AntiphonError(Exception):
    """Something Antiphon was asked to do cannot be done."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class UsageError(AntiphonError):
    """The command cannot be carried out as given."""


class CampaignError(UsageError):
    """The workspace has errors."""


class StoreError(AntiphonError):
    """The database could not do what was asked."""


class NotOwner(StoreError):
    """Another engine owns this database; stop it, or send the command to it."""


class Outdated(StoreError):
    """People stand in a campaign version that this process has not loaded; it loads anew."""


class Overtaken(StoreError):
    """What was decided on has changed meanwhile (a message to be displaced was attempted, a person
    was erased); the batch is played again."""


class DiskFull(StoreError):
    """The disk is full; nothing was committed. Make room: work goes on by itself."""


class Overloaded(StoreError):
    """More events are waiting to be written than fit; send again in a moment."""

    def __init__(self, message: str | None = None, *, retry_after_seconds: float = 1.0):
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class CommitUnknown(StoreError):
    """The database was lost during a commit; send the same messageId again."""


class JourneyLoop(AntiphonError):
    """Campaigns set each other off without end for one profile."""


class InvalidEvent(AntiphonError):
    """The event breaks the limits of the tracking API."""

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class ProviderError(AntiphonError):
    """The provider did not accept the message."""


class Retryable(ProviderError):
    """The provider could not take the message now."""

    def __init__(self, message: str | None = None, *, retry_after_seconds: float | None = None):
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Refused(ProviderError):
    """The provider will never take this message."""


class CallbackRefused(AntiphonError):
    """A callback was not taken in."""

    status = 400


class Forged(CallbackRefused):
    """The callback's signature is wrong."""

    status = 403


class Unreadable(CallbackRefused):
    """The callback cannot be understood."""
