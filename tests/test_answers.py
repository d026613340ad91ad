"""What becomes of messages: a real Celery worker between a real store and a model that does as it is told."""

from typing import ClassVar

import pytest
from model_stub import ModelStub
from replies import BRIEF, ended, events, kinds, partial
from services import Process, wait_for

from chat.conversation import Conversation
from chat.store import Store


@pytest.fixture
def chat(store: Store) -> Conversation:
    return Conversation.create(store)


class TestAModelThatAnswers:
    SETTINGS: ClassVar[dict[str, str]] = {}  # those of the product

    def test_a_message_is_answered_though_nobody_rang(self, chat: Conversation, answering: ModelStub) -> None:
        chat.accept("Hi there")
        (reply,) = ended(chat)
        assert (reply["text"], reply["status"]) == ("You said: Hi there", "completed")
        assert answering.prompts == ["Human: Hi there\nBot:"]

    def test_five_at_once_are_answered_in_order_beside_fifty_others(
        self, store: Store, chat: Conversation, answering: ModelStub
    ) -> None:
        others = [Conversation.create(store) for _ in range(50)]
        for n in range(5):
            chat.accept(f"q{n}")
        for other in others:
            other.accept("Hi")
        replies = ended(chat, 5)
        assert [reply["text"] for reply in replies] == [f"You said: q{n}" for n in range(5)]
        mine = [prompt for prompt in answering.prompts if "q" in prompt]
        assert mine[3] == "Bot: You said: q1\nHuman: q2\nBot: You said: q2\nHuman: q3\nBot:"
        assert mine[4] == "Bot: You said: q2\nHuman: q3\nBot: You said: q3\nHuman: q4\nBot:"
        assert len(mine) == 5
        for other in others:
            assert [reply["text"] for reply in ended(other)] == ["You said: Hi"]

    def test_a_stop_in_mid_reply_keeps_the_partial_text_and_hangs_up(
        self, chat: Conversation, answering: ModelStub
    ) -> None:
        answering.say("Never to be finished")
        answering.hold_after(3)
        chat.accept("Hi", "m1")
        chat.accept("Next", "m2")
        wait_for(lambda: partial(chat) == "Never to be")
        assert chat.stop("m1") == "stopping"
        answering.wait_for(lambda: answering.hangups == 1)
        answering.release()
        stopped, following = ended(chat, 2)
        assert (stopped["text"], stopped["status"]) == ("Never to be", "stopped")
        assert following["status"] == "completed"

    def test_a_stop_reaches_a_model_that_says_nothing(self, chat: Conversation, answering: ModelStub) -> None:
        """Long before MODEL_READ_S is over."""
        answering.behave("silent", times=1)
        chat.accept("Hi", "m1")
        wait_for(lambda: answering.prompts)
        chat.stop("m1")
        answering.wait_for(lambda: answering.hangups == 1, limit_s=5)
        (reply,) = ended(chat)
        assert (reply["text"], reply["status"]) == ("", "stopped")

    def test_a_deleted_conversation_ends_the_writing(
        self, chat: Conversation, answering: ModelStub, shared_worker: Process
    ) -> None:
        answering.hold_after(1)
        chat.accept("Hi")
        answering.wait_held()
        chat.delete()
        answering.wait_for(lambda: answering.hangups == 1)
        assert wait_for(lambda: "fenced off" in shared_worker.log.read_text())


class TestAModelThatFails:
    SETTINGS: ClassVar[dict[str, str]] = {
        "TURN_LIMIT_S": "2", "MODEL_READ_S": "1", "LOG_LEVEL": "debug", "MODEL_TOKEN": "very-secret", **BRIEF,
    }  # fmt: skip

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("behaviour", "code"),
        [
            ("down", "model_unavailable"),
            ("loading", "model_unavailable"),
            ("too_many", "model_unavailable"),
            ("error_500", "attempts_exhausted"),
            ("silent", "model_timeout"),
            ("garbage", "model_garbage"),
            ("refuse", "model_refused"),
            ("unauthorized", "model_refused"),
            ("break_off", "attempts_exhausted"),
            ("reset", "attempts_exhausted"),
        ],
    )
    def test_the_turn_ends_with_a_code_and_the_next_one_works(
        self, chat: Conversation, answering: ModelStub, behaviour: str, code: str
    ) -> None:
        answering.behave(behaviour)
        chat.accept("Hi")
        (reply,) = ended(chat)
        (failed,) = [event.content for event in events(chat) if event.type == "failed"]
        assert failed["code"] == code and failed["message"] == reply
        assert "http" not in failed["detail"]
        answering.behave("answer")
        chat.accept("Again")
        assert ended(chat, 2)[1]["text"] == "You said: Again"

    def test_an_endless_reply_ends(self, chat: Conversation, answering: ModelStub) -> None:
        answering.behave("endless")
        chat.accept("Hi")
        (reply,) = ended(chat)
        assert reply["text"] and reply["status"] == "completed"
        assert kinds(chat).count("completed") == 1
        answering.behave("answer")
        chat.accept("Again")
        assert ended(chat, 2)[1]["text"] == "You said: Again"

    @pytest.mark.slow
    def test_a_broken_off_reply_is_written_again_from_its_beginning(
        self, chat: Conversation, answering: ModelStub
    ) -> None:
        answering.behave("break_off", times=2)
        chat.accept("one two three four")
        (reply,) = ended(chat)
        assert reply["text"] == "You said: one two three four"
        assert kinds(chat).count("started") == 3

    @pytest.mark.slow
    def test_no_text_and_no_whole_id_is_logged(
        self, chat: Conversation, answering: ModelStub, shared_worker: Process
    ) -> None:
        answering.behave("break_off")
        chat.accept("canary in a coal mine")
        ended(chat)
        log = shared_worker.log.read_text()
        assert "the model failed" in log
        for secret in ("canary", chat.id, "very-secret"):
            assert secret not in log
