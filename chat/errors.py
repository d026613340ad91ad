"""What can go wrong, as a small tree: each error has a stable code, says whether a retry helps and what to do."""


class ChatError(Exception):
    """Something a caller must know of. The first line of a subclass's docstring is what its users read."""

    code = "internal"
    retryable = False

    def __init_subclass__(cls, code: str | None = None, retryable: bool | None = None) -> None:
        cls.code = cls.code if code is None else code
        cls.retryable = cls.retryable if retryable is None else retryable

    @property
    def detail(self) -> str:
        """One sentence for the user: the message given, else the class's own."""
        return str(self) or (self.__doc__ or self.code).splitlines()[0]


class ConfigError(ChatError, code="config"):
    """A setting has a value that cannot be used."""


class StoreUnavailable(ChatError, code="store_unavailable", retryable=True):
    """The store does not answer; try again in a moment."""


class StoreRefused(Exception):
    """The store refuses a command: a mistake of ours or in the data, of which no caller can make anything."""


class StoreUnsuitable(ChatError, code="store_unsuitable"):
    """This Redis has no JSON commands, or is older than 7: use Redis 8, Redis Stack 7, or Valkey with RedisJSON."""


class SchemaTooNew(ChatError, code="schema_too_new"):
    """This conversation was written by a newer version of Parley: update this server."""


class ConversationGone(ChatError, code="conversation_gone"):
    """This conversation does not exist, or it has expired."""


class NameTaken(ChatError, code="name_taken"):
    """This name is taken; choose another one."""


class RegistrationClosed(ChatError, code="registration_closed"):
    """New accounts are made by the people who run this server."""


class LoginFailed(ChatError, code="login_failed"):
    """Name or password is wrong."""


class LoginRequired(ChatError, code="login_required"):
    """Please log in."""


class RateLimited(ChatError, code="rate_limited", retryable=True):
    """Too many attempts; try again later."""

    def __init__(self, wait_s: int) -> None:
        super().__init__()
        self.wait_s = wait_s


class TooManyStreams(ChatError, code="too_many_streams", retryable=True):
    """Too many streams of this conversation, or from this address, are open; try again later."""


class CrossSite(ChatError, code="cross_site"):
    """Pages of other sites may not do this."""


class MessageUnknown(ChatError, code="message_unknown"):
    """This conversation has no such message."""


class MessageConflict(ChatError, code="message_conflict"):
    """This message id was used before, with another text."""


class QueueFull(ChatError, code="queue_full", retryable=True):
    """Too many messages wait in this conversation; try again later."""


class NotLastTurn(ChatError, code="not_last_turn"):
    """Only the last reply of a conversation can be answered again."""


class Busy(ChatError, code="busy", retryable=True):
    """A reply is being written or waited for; try again when it has ended."""


class FencedOff(ChatError, code="fenced_off"):
    """Another worker has taken this turn over."""


class ModelError(ChatError, code="model_error", retryable=True):
    """The model could not answer."""


class ModelUnavailable(ModelError, code="model_unavailable"):
    """The model could not be reached, or it stayed busy; try again later."""


class ModelBroke(ModelError, code="model_broke"):
    """The model broke off in the middle of its reply."""


class ModelSilent(ModelError, code="empty_reply"):
    """The model had nothing to say, asked twice; try again, or in other words."""


class ModelTimeout(ModelError, code="model_timeout"):
    """The model did not finish its reply in time."""


class ModelRefused(ModelError, code="model_refused", retryable=False):
    """The model's server refused the prompt."""


class ModelGarbage(ModelError, code="model_garbage", retryable=False):
    """The model's server answered something that is not the protocol that was expected."""
