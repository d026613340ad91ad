"""How people really type: casing, missing marks, slips of the finger. Slots such as `{value}` are never touched."""

import random
import re

_SLOT = re.compile(r"(\{\w+\})")
_NEAR = dict(
    zip("qwertyuiopasdfghjklzxcvbnm", "wqrtrutuoiasdfghjkxzcvbnmn", strict=True),
)
_ENDINGS = (
    "!",
    "?",
    "??",
    "!!",
    " :)",
    " 🙂",
    " please",
    " pls",
    "..",
    " ",
    ", please",
    " thanks",
    ", ok?",
    " haha",
    " lol",
)
_OPENINGS = (
    *("ok, ", "so ", "well, ", "hey, ", "and ", "hm, ", "Please, ", "hi! ", "oh, ", "Hello, ", "then "),
    *("Could you help me: ", "I'd like to ask: ", "Listen, ", "My friend wants to know: ", "Good, ", "Right, "),
    *("Tell me: ", "One question: ", "I wanted to ask: ", "May I ask, ", "Just curious, ", "I wonder, ", "haha, "),
)
_SMALL = set("a an the is are do does you i me my of to for it in can could please and".split())
_FILLERS = "really please actually just kindly maybe now exactly quickly today here then also again ever um,".split()


def noisy(template: str, rng: random.Random) -> str:
    """The template as somebody in a hurry would have typed it (about one in three is left alone)."""
    parts = _SLOT.split(template)
    lower, slips = rng.random() < 0.45, rng.random() < 0.15
    for i in range(0, len(parts), 2):
        if lower:
            parts[i] = parts[i].lower()
        if rng.random() < 0.08:
            parts[i] = _words(parts[i], rng)
        if slips and len(parts[i]) > 8:
            parts[i] = _slip(parts[i], rng)
    return _ending("".join(parts), rng)


def _ending(text: str, rng: random.Random) -> str:
    if rng.random() < 0.3:
        text = text.rstrip("?.!")
    elif rng.random() < 0.08:
        text += rng.choice(_ENDINGS)
    if rng.random() < 0.08:
        text = rng.choice(_OPENINGS) + text
    if rng.random() < 0.08:
        text = text.replace("'", "")
    return text.upper() if rng.random() < 0.015 and "{" not in text else text


def _words(text: str, rng: random.Random) -> str:
    """One small word lost, or one more put in: what is asked hangs on the others."""
    words = text.split(" ")
    at = rng.randrange(len(words))
    if words[at].lower() in _SMALL and rng.random() < 0.5:
        del words[at]
    else:
        words.insert(max(at, 1), rng.choice(_FILLERS))
    return " ".join(words)


def _slip(text: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(text) - 1)
    here = text[at]
    if not here.isalpha():
        return text
    slip = rng.choice(("swap", "drop", "double", "near"))
    if slip == "swap":
        return text[:at] + text[at + 1] + here + text[at + 2 :]
    middle = {"drop": "", "double": here * 2, "near": _NEAR.get(here, here)}[slip]
    return text[:at] + middle + text[at + 1 :]
