"""Endless dialogues between a human and the bot, cut into the windows that the bot will see."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from gptj.train import sums
from gptj.train.names import LISTED, invented, name
from gptj.train.noise import noisy
from gptj.train.script import Block, blocks, expand, fill, plain

STOP = "\nHuman:"
WINDOW = 4  # messages in a prompt, the newest human one included
_QUOTES = {"said": -2, "answered": -1}  # blocks that ask for a message itself, and where it stands
_LONGEST_QUOTE = 90
_NAMED = ("name", "pet", "friend", "echo")
SHARES = {"small_talk": 19, "parley": 20, "facts": 20, "sums": 21, "memory": 17, "unknown": 8, "texts": 8}


@dataclass(frozen=True)
class Segment:
    """A stretch of text and how much the model should learn from it."""

    text: str
    weight: float


@dataclass
class Dialogue:
    """A talk so far. `told` holds what the human said of themselves and the message in which it last stood."""

    messages: list[str] = field(default_factory=list)
    told: dict[str, tuple[str, int]] = field(default_factory=dict)
    subject: Block | None = None

    def visible(self, what: str) -> str | None:
        """What was told, if it stands in the window of the next reply."""
        value, at = self.told.get(what, ("", -WINDOW))
        return value if at > len(self.messages) - WINDOW else None

    def add(self, human: str, bot: str, what: str = "", value: str = "") -> None:
        """Two more messages; `what` with its `value` stands in the human's, or even in the bot's."""
        self.messages += [human, bot]
        if what and value.lower() in bot.lower():
            self.told[what] = value, len(self.messages) - 1
        elif what:
            self.told[what] = value, len(self.messages) - 2


class Corpus:
    """The dialogues that one seed gives."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.files = {name: blocks(name) for name in SHARES if name != "sums"}
        self.held_out = {plain(text) for file in self.files.values() for block in file for text in block.held_out}

    def windows(self) -> Iterator[list[Segment]]:
        """Prompt and reply of one turn after another, without end."""
        while True:
            yield self._window(self.dialogue(self.rng.choice((1, 1, 1, 2, 2, 2, 3, 3, 4))))

    def dialogue(self, turns: int) -> Dialogue:
        """A talk of so many turns; some are about what the human tells and asks back."""
        talk = Dialogue()
        remembers = turns > 1 and self.rng.random() < 0.35
        for turn in range(turns):
            if remembers and turn in (max(0, turns - 3 + self.rng.randrange(2)), turns - 1):
                self._memory(talk)
            else:
                self._turn(talk)
        return talk

    def _turn(self, talk: Dialogue) -> None:
        subject = self.rng.choices(list(SHARES), list(SHARES.values()))[0]
        if talk.subject and talk.subject.asks and self.rng.random() < 0.3:
            self._more(talk, talk.subject)
        elif subject == "memory":
            self._memory(talk)
        elif subject == "sums":
            human, bot = sums.question(self.rng)
            talk.add(self._human(human), expand(bot, self.rng))
        else:
            self._block(talk, self._choose(subject))

    def _choose(self, subject: str) -> Block:
        choices = self.files[subject]
        return self.rng.choices(choices, [block.share for block in choices])[0]

    def _block(self, talk: Dialogue, block: Block) -> None:
        human, replies = self._human(self.rng.choice(block.says)), block.replies
        (key, value), (_, other) = self.rng.sample(block.pairs, 2) if block.rows else (("", ""), ("", ""))
        if other == value and block.rows_of:
            return self._block(talk, block)
        if block.unknown and self.rng.random() < 0.07:
            key, replies = invented(self.rng), block.unknown
        said = key.lower() if self.rng.random() < 0.4 else noisy(key, self.rng) if self.rng.random() < 0.1 else key
        word = self._word()
        bot = expand(self.rng.choice(replies), self.rng)
        paste = self._paste() if "{paste}" in human else ""
        talk.add(
            fill(human, key=said, Key=_capital(said), value=value, other=other, word=word, paste=paste),
            fill(bot, key=key, Key=_capital(key), value=value, other=other),
        )
        talk.subject = block

    def _more(self, talk: Dialogue, block: Block) -> None:
        """`Another one!`: a reply of the same block, but not the same one."""
        fresh = [reply for reply in block.replies if reply != talk.messages[-1]]
        talk.add(self._human(self.rng.choice(block.asks)), expand(self.rng.choice(fresh), self.rng))

    def _memory(self, talk: Dialogue) -> None:
        """Tell something or ask for it; rarely ask for what was never told, or is out of sight."""
        known = [b for b in self.files["memory"] if talk.visible(b.name)]
        block = self._choose("memory")
        talk.subject = None
        if known and self.rng.random() < 0.7:
            self._ask(talk, self.rng.choice(known))
        elif block.name in _QUOTES or (block.asks and self.rng.random() < 0.15):
            self._ask(talk, block)
        else:
            self._tell(talk, block)

    def _ask(self, talk: Dialogue, block: Block) -> None:
        value = talk.visible(block.name)
        if block.name in _QUOTES and talk.messages:
            value = talk.messages[_QUOTES[block.name]]
            if len(value) > _LONGEST_QUOTE:
                return self._turn(talk)
        bot = self.rng.choice(block.recalls if value else block.unknown)
        known = block.name if value else ""
        talk.add(
            self._human(self.rng.choice(block.asks)), fill(expand(bot, self.rng), value=value or ""), known, value or ""
        )

    def _tell(self, talk: Dialogue, block: Block) -> None:
        value = self._value(block)
        human, bot = self._human(self.rng.choice(block.says)), expand(self.rng.choice(block.replies), self.rng)
        said = value.lower() if value in LISTED and human.islower() and self.rng.random() < 0.5 else value
        bot = _capital(fill(bot, value=value)) if block.asks else fill(bot, value=value)
        talk.add(fill(human, value=said, word=self._word()), bot, block.name if block.asks else "", value)

    def _value(self, block: Block) -> str:
        if block.rows and self.rng.random() < 0.7:
            return self.rng.choice(block.values)
        return name(self.rng) if block.name in _NAMED else self._word()

    def _word(self) -> str:
        word = invented(self.rng)
        return word if self.rng.random() < 0.5 else word.lower()

    def _paste(self) -> str:
        """Much text about nothing, as somebody pastes it."""
        says = (self.rng.choice(self._choose("small_talk").says) for _ in range(self.rng.randint(10, 60)))
        return " ".join(self._human(line) for line in says if "{" not in line)

    def _human(self, template: str) -> str:
        said = expand(template, self.rng)
        return self._human(template) if plain(said) in self.held_out else noisy(said, self.rng)

    def _window(self, talk: Dialogue) -> list[Segment]:
        *window, reply = talk.messages[-WINDOW - 1 :]
        segments, first = [], len(window) % 2
        for i, message in enumerate(window):
            human = i % 2 != first
            if not human and not talk.told and self.rng.random() < 0.04:
                # A reply that was stopped; the prompt shows an empty one as three dots.
                message = message[: self.rng.randrange(len(message))].strip() or "..."
            segments.append(Segment("Human:" if human else "Bot:", 0.05))
            # A bot's message that opens the window answers something out of sight.
            segments.append(Segment(f" {message}\n", 0.05 if human or i == 0 else 0.5))
        return [*segments, Segment("Bot:", 0.05), Segment(f" {reply}{STOP}", 1.0)]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
