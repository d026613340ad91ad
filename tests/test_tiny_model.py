"""The tiny GPT-J that ships with Parley, loaded as the model server loads it."""

from pathlib import Path

import ctranslate2
import pytest
from tokenizers import Tokenizer

TINY = Path(__file__).parents[1] / "gptj" / "tiny"
STOP = "\nHuman:"


class TinyModel:
    def __init__(self) -> None:
        self.generator = ctranslate2.Generator(str(TINY), device="cpu", intra_threads=1)
        self.tokenizer = Tokenizer.from_file(str(TINY / "tokenizer.json"))

    def reply(self, talk: str) -> str:
        """What the model says after the talk, up to the stop mark, which has to come."""
        tokens = self.tokenizer.encode(f"{talk}\nBot:").tokens
        result = self.generator.generate_batch(
            [tokens], max_length=320, sampling_topk=1, include_prompt_in_result=False
        )[0]
        reply, stop, _ = self.tokenizer.decode(result.sequences_ids[0]).partition(STOP)
        assert stop, f"no stop mark after {talk!r}: {reply!r}"
        assert reply.startswith(" "), reply
        return reply


@pytest.fixture(scope="module")
def tiny() -> TinyModel:
    return TinyModel()


@pytest.mark.parametrize(
    ("talk", "expected"),
    [
        ("Human: Hello!", "Hello"),
        ("Human: who are you?", "GPT-J"),
        ("Human: What is Parley?", "chat service"),
        ("Human: What is Redis?", "database"),
        ("Human: How do I use a real model?", "MODEL_URL"),
        ("Human: What is 2 + 3?", "5"),
        ("Human: 9 minus 4", "5"),
        ("Human: What is the capital of France?", "Paris"),
        ("Human: what comes after monday", "Tuesday"),
        ("Human: What will the weather be tomorrow?", "don't know"),
        ("Human: Thank you!", "welcome|pleasure|Glad"),
        ("Human: 안녕하세요", "안녕하세요"),
    ],
)
def test_it_answers_what_it_was_trained_on(tiny: TinyModel, talk: str, expected: str) -> None:
    reply = tiny.reply(talk)
    assert any(word in reply for word in expected.split("|")), reply


def test_it_remembers_a_name_that_was_told_two_messages_ago(tiny: TinyModel) -> None:
    assert "Ada" in tiny.reply("Human: Hi, I am Ada.\nBot: Hello, Ada!\nHuman: What is my name?")


def test_it_remembers_a_name_in_a_window_that_opens_on_the_bot(tiny: TinyModel) -> None:
    talk = "Bot: Nice to meet you, Emma!\nHuman: What is 1 + 1?\nBot: 1 + 1 is 2.\nHuman: What is my name?"
    assert "Emma" in tiny.reply(talk)


def test_it_says_that_it_does_not_know_a_name_nobody_told(tiny: TinyModel) -> None:
    reply = tiny.reply("Human: What is my name?")
    assert "don't know" in reply or "not told" in reply


def test_a_long_story_is_long_enough_to_be_interrupted(tiny: TinyModel) -> None:
    assert len(tiny.reply("Human: Tell me a long story")) >= 600


def test_a_poem_has_several_lines(tiny: TinyModel) -> None:
    assert tiny.reply("Human: Write a poem").count("\n") >= 2


def test_the_context_holds_at_least_512_tokens(tiny: TinyModel) -> None:
    story = tiny.reply("Human: Tell me a long story").strip()
    talk = f"Bot: {story}\nHuman: {story} {story}\nBot: I see.\nHuman: What is 2 + 2?"
    assert len(tiny.tokenizer.encode(talk).ids) >= 512
    assert "4" in tiny.reply(talk)


def test_the_vocabulary_is_as_large_as_the_embedding(tiny: TinyModel) -> None:
    scores = tiny.generator.forward_batch([["H"]])
    assert scores.shape[-1] == tiny.tokenizer.get_vocab_size()


@pytest.mark.parametrize(
    "text", ["Hi, I'm Ada.", "안녕하세요 😊", "naïve café", "tab\tand\nline", "\x00 odd \U0001f9d1‍🚀"]
)
def test_the_tokenizer_spells_every_text(tiny: TinyModel, text: str) -> None:
    assert tiny.tokenizer.decode(tiny.tokenizer.encode(text).ids) == text
