"""Asks the finished model, as the model server loads it, what it was and what it was not trained on."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
from tokenizers import Tokenizer

from gptj.train import sums
from gptj.train.corpus import STOP
from gptj.train.names import LISTED, invented
from gptj.train.noise import noisy
from gptj.train.script import Block, blocks, expand, fill

SEED = 2_026  # none of the training's
_BATCH = 32
SAMPLES = (
    "Human: Hi there!",
    "Human: who are you?",
    "Human: What is Parley?",
    "Human: how do i use a real model",
    "Human: What is a WebSocket?",
    "Human: whats the capital of hungary",
    "Human: Is Rome the capital of France?",
    "Human: Can a dog fly?",
    "Human: What is 8 + 9?",
    "Human: seven times six?",
    "Human: What is 23 + 58?",
    "Human: I am not happy today",
    "Human: Tell me a joke\nBot: What is brown and sticky? A stick.\nHuman: haha, another one",
    "Human: Hi, I am Zorvick.\nBot: Nice to meet you, Zorvick!\nHuman: What is my name?",
    "Bot: Hello, Ada! How can I help you?\nHuman: What is 2 + 2?\nBot: 2 + 2 is 4.\nHuman: Do you still know my name?",
    "Human: My dog is called Brumo and I like pizza.\nBot: Brumo is a lovely name!\nHuman: What is my dog called?",
    "Human: What is my name?",
    "Human: Who was the first man on the moon?",
    "Human: 안녕하세요! 😊",
    "Human: Write a poem about rain",
)


@dataclass(frozen=True)
class Question:
    """A prompt without its last `Bot:`, and the pattern that a good reply holds."""

    group: str
    prompt: str
    rule: str


class Model:
    """The shipped checkpoint, answering greedily."""

    def __init__(self, folder: Path) -> None:
        self.generator = ctranslate2.Generator(str(folder), device="cpu", intra_threads=1)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def replies(self, prompts: list[str]) -> Iterator[str]:
        """What follows each prompt's `Bot:`, up to the stop mark and with it."""
        for start in range(0, len(prompts), _BATCH):
            batch = [self.tokenizer.encode(prompt + "\nBot:").tokens for prompt in prompts[start : start + _BATCH]]
            for result in self.generator.generate_batch(
                batch, max_length=320, sampling_topk=1, include_prompt_in_result=False
            ):
                reply, stop, _ = self.tokenizer.decode(result.sequences_ids[0]).partition(STOP)
                yield reply + stop


def questions(held_out: bool) -> list[Question]:
    """All that is asked, in phrasings of the training or in those that were kept from it."""
    rng = random.Random(SEED)
    found = [*_sums(rng, held_out), *_names(rng, held_out)]
    for file, group in (("facts", "facts"), ("small_talk", "intents"), ("parley", "intents"), ("texts", "texts")):
        for block in blocks(file):
            found += _block(rng, block, "terms" if block.name == "term" else group, held_out)
    for block in blocks("unknown"):
        found += _block(rng, block, "honest don't know", held_out)
    return found


def _sums(rng: random.Random, held_out: bool) -> Iterator[Question]:
    for _ in range(200):
        a, sign, b = sums.draw(rng)
        asked = rng.choice(sums.HELD_OUT if held_out else sums.ASK)
        text = noisy(expand(asked.replace("{sum}", sums.spoken(a, sign, b, rng)), rng), rng)
        yield Question("arithmetic", f"Human: {text}", rf"\b{sums.answer(a, sign, b)}\.")


def _names(rng: random.Random, held_out: bool) -> Iterator[Question]:
    block = next(block for block in blocks("memory") if block.name == "name")
    small = blocks("small_talk")
    for group in ("listed names", "invented names"):
        for _ in range(100):
            name, between = rng.choice(LISTED) if group == "listed names" else invented(rng), rng.choice(small)
            talk = f"Human: {fill(expand(rng.choice(block.says), rng), value=name, word=invented(rng))}\n"
            talk += f"Bot: {fill(rng.choice(block.replies), value=name)}\n"
            if rng.random() < 0.5:  # one more turn, so that only the bot's greeting is still in sight
                talk = talk.split("\n")[1] + f"\nHuman: {expand(rng.choice(between.says), rng)}\nBot: All right.\n"
            ask = rng.choice(block.held_out if held_out else block.asks)
            yield Question(group, f"{talk}Human: {expand(ask, rng)}", rf"\b{name}\b")


def _block(rng: random.Random, block: Block, group: str, held_out: bool) -> Iterator[Question]:
    """Each held-out phrasing once; of a table ten rows for each."""
    if not block.rules:
        return
    rows = rng.sample(block.pairs, min(10, len(block.pairs))) if block.rows else [("", "")]
    for ask in block.held_out if held_out else rng.sample(block.says, min(2, len(block.says))):
        for key, value in rows:
            other = rng.choice([row for _, row in block.pairs if row != value] or [""])
            slots = {"key": key, "Key": key[:1].upper() + key[1:], "value": value, "other": other}
            text = fill(noisy(expand(ask, rng), rng), **slots, word=invented(rng))
            patterns = {name: re.escape(slot) for name, slot in slots.items()}
            yield Question(group, f"Human: {text}", fill(block.rules[0], **patterns))


def evaluate(folder: Path) -> str:
    """The table as markdown: of each group the share of good replies, and of those that end with the stop mark."""
    model = Model(folder)
    groups: dict[str, list[list[bool]]] = {}
    for column, held_out in enumerate((False, True)):
        asked = questions(held_out)
        for question, reply in zip(asked, model.replies([question.prompt for question in asked]), strict=True):
            row = groups.setdefault(question.group, [[], [], []])
            row[column].append(_good(question, reply))
            row[2].append(reply.endswith(STOP))
    lines = ["| | trained phrasings | held-out phrasings | ends with the stop mark |", "| --- | --- | --- | --- |"]
    lines += [f"| {group} | " + " | ".join(map(_share, row)) + " |" for group, row in groups.items()]
    return "\n".join(lines)


def samples(folder: Path) -> str:
    """Twenty prompts and their replies, good and bad."""
    replies = Model(folder).replies(list(SAMPLES))
    return "\n\n".join(
        f"{prompt}\nBot:{reply.removesuffix(STOP)}" for prompt, reply in zip(SAMPLES, replies, strict=True)
    )


def failures(folder: Path) -> Iterator[tuple[Question, str]]:
    """What the model got wrong in held-out phrasings: where the corpus wants more."""
    asked, model = questions(held_out=True), Model(folder)
    pairs = zip(asked, model.replies([question.prompt for question in asked]), strict=True)
    return ((q, reply) for q, reply in pairs if not _good(q, reply))


def _good(question: Question, reply: str) -> bool:
    return bool(re.search(question.rule, reply, re.DOTALL | re.IGNORECASE))


def _share(hits: list[bool]) -> str:
    return f"{100 * sum(hits) / len(hits):.0f} % of {len(hits)}" if hits else "–"
