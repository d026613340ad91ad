"""Names: listed ones, and ones that nobody has ever borne, so that the model learns to copy and not to guess."""

import random

from gptj.train.script import DIALOGUES

LISTED = tuple((DIALOGUES / "names.txt").read_text(encoding="utf-8").split())
_STARTS = "b br c ch cl d dr f fl g gr h j k kr l m n p pr qu r s sh sk st t th tr v w x y z".split()
_VOWELS = "a e i o u a e i o ai ee ia oo ou y".split()
_ENDS = "b ck d g k l ll m n nd ng p r rn rt s sh st t th v x z".split() + [""] * 12
_TAILS = "a an ar el en er ic in io is on or us y ko ra ley son ton wyn".split()


def invented(rng: random.Random) -> str:
    """A word of one to three syllables, such as `Zorvick`; now and then a quite unsayable one."""
    if rng.random() < 0.1:
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 8))).capitalize()
    syllables = (
        rng.choice([*_STARTS, ""]) + rng.choice(_VOWELS) + rng.choice(_ENDS) for _ in range(rng.choice((1, 2, 2, 2, 3)))
    )
    word = "".join(syllables) + (rng.choice(_TAILS) if rng.random() < 0.3 else "")
    return word.capitalize() if len(word) > 2 else invented(rng)


def name(rng: random.Random) -> str:
    """A name to be remembered."""
    return rng.choice(LISTED) if rng.random() < 0.35 else invented(rng)
