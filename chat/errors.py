"""What can go wrong, as a small tree: each error has a stable code, says whether a retry helps and what to do."""


class ChatError(Exception):
    """Something a caller must know of. The first line of a subclass's docstring is what its users read."""

    code = "internal"
    retryable = False

    @property
    def detail(self) -> str:
        """One sentence for the user: the message given, else the class's own."""
        return str(self) or (self.__doc__ or self.code).splitlines()[0]


class ConfigError(ChatError):
    """A setting has a value that cannot be used."""

    code = "config"


class StoreUnavailable(ChatError):
    """The store does not answer; try again in a moment."""

    code, retryable = "store_unavailable", True


class StoreUnsuitable(ChatError):
    """This Redis has no JSON commands, or is older than 7: use Redis 8, Redis Stack 7, or Valkey with RedisJSON."""

    code = "store_unsuitable"


class SchemaTooNew(ChatError):
    """This conversation was written by a newer version of Parley: update this server."""

    code = "schema_too_new"


class ConversationGone(ChatError):
    """This conversation does not exist, or it has expired."""

    code = "conversation_gone"


class NameTaken(ChatError):
    """This name is taken; choose another one."""

    code = "name_taken"


class RegistrationClosed(ChatError):
    """New accounts are made by the people who run this server."""

    code = "registration_closed"


class LoginFailed(ChatError):
    """Name or password is wrong."""

    code = "login_failed"


class LoginRequired(ChatError):
    """Please log in."""

    code = "login_required"


class RateLimited(ChatError):
    """Too many attempts; try again later."""

    code, retryable = "rate_limited", True

    def __init__(self, wait_s: int) -> None:
        super().__init__()
        self.wait_s = wait_s


class CrossSite(ChatError):
    """Pages of other sites may not do this."""

    code = "cross_site"


class MessageUnknown(ChatError):
    """This conversation has no such message."""

    code = "message_unknown"


class MessageConflict(ChatError):
    """This message id was used before, with another text."""

    code = "message_conflict"


class QueueFull(ChatError):
    """Too many messages wait in this conversation; try again later."""

    code, retryable = "queue_full", True


class NotLastTurn(ChatError):
    """Only the last reply of a conversation can be answered again."""

    code = "not_last_turn"


class Busy(ChatError):
    """A reply is being written or waited for; try again when it has ended."""

    code, retryable = "busy", True


class FencedOff(ChatError):
    """Another worker has taken this turn over."""

    code = "fenced_off"


class ModelError(ChatError):
    """The model could not answer."""

    code, retryable = "model_error", True


class ModelUnavailable(ModelError):
    """The model could not be reached, or it stayed busy; try again later."""

    code = "model_unavailable"


class ModelBroke(ModelError):
    """The model broke off in the middle of its reply."""

    code = "model_broke"


class ModelTimeout(ModelError):
    """The model did not finish its reply in time."""

    code = "model_timeout"


class ModelRefused(ModelError):
    """The model's server refused the prompt."""

    code, retryable = "model_refused", False


class ModelGarbage(ModelError):
    """The model's server answered something that is not the text-generation protocol."""

    code, retryable = "model_garbage", False
