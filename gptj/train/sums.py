"""Sums up to twenty and what children do with numbers, with the answer in the form that is asked for."""

import random

WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen twenty"
).split()
ASK = (
    "What is {sum}?",
    "{sum}",
    "{sum}?",
    "{sum} =",
    "{sum} = ?",
    "How much is {sum}?",
    "Can you [calculate|compute|work out] {sum}?",
    "[Calculate|Compute|Solve|Add up|Work out] {sum}[|.| for me]",
    "What's {sum}?",
    "[Please tell me|Tell me|Do you know] what {sum} is[|.|?]",
    "[And|What about|And what is|How about] {sum}?",
    "What does {sum} [make|equal|give]?",
    "I need [to know |]the [result|answer] of {sum}[|.]",
    "[My teacher|My son|My friend|She|My daughter] [asks|wants to know|asked me][:|] [what is |]{sum}[|.|?]",
    "{sum}, [what is that|what does that make|how much is it|can you do that]?",
    "[I wonder|I forgot|I don't know|Let me know|Say] [what|how much] {sum} [is|makes|gives][|.]",
    "[Can|Could|Would] you [please |]tell me [what|how much] {sum} is?",
    "[Here is a sum|A sum for you|Next one|A little sum|Maths|My exercise is|I have to solve this]: {sum}[|.|?]",
    "[Do you know|Are you able to say] [how much|what] {sum} [is|makes|would give]?",
)
HELD_OUT = (
    "Could you tell me how much {sum} would be?",
    "My homework says {sum}. What is the answer?",
    "Quick question: {sum}?",
)
_SIGNS = {"+": ("+", "plus", "and"), "-": ("-", "minus"), "*": ("*", "x", "times"), "/": ("/", "divided by")}
# Each reply says the sum first: the model looks up the written form, however it was asked.
_REPLIES = ("{sum} is {value}.", "{sum} = {value}.")
_OTHERS = (
    (
        "I have {a} [apples|books|cats|coins] and [get|buy|find] {b} more. How many [do I have|are there][ now|]?",
        "You have {total}.",
    ),
    (
        "I [had|have] {total} [apples|cakes|coins|balls] and [lost|ate|gave away|lose] {b}. How many are left?",
        "{a} are left.",
    ),
    ("What comes after {a}?", "After {a} comes {next}."),
    ("What [number |]comes before {next}?", "Before {next} comes {a}."),
    ("What is the number after {a}?", "After {a} comes {next}."),
    ("[What is double|What is twice|Double] {a}?", "Twice {a} is {double}."),
    ("[What is half of|Half of] {double}?", "Half of {double} is {a}."),
    ("Which is [bigger|larger|more|greater], {low} or {high}?", "{high} is bigger than {low}."),
    ("Which is [bigger|larger|more|greater], {high} or {low}?", "{high} is bigger than {low}."),
    ("Is {high} [bigger|larger|more|greater] than {low}?", "Yes, {high} is bigger than {low}."),
    ("Is {low} [bigger|larger|more|greater] than {high}?", "No, {high} is bigger than {low}."),
    ("Which is [smaller|less], {high} or {low}?", "{low} is smaller than {high}."),
    ("Which is [smaller|less], {low} or {high}?", "{low} is smaller than {high}."),
)
_TOO_HARD = (
    "That is too big for me: I can only do sums up to twenty. A real model, set by MODEL_URL, may know.",
    "I don't know. I learnt sums up to twenty, and this is a bigger one.",
)


def answer(a: int, sign: str, b: int) -> int:
    """The value of one of the four sums that the corpus holds."""
    return {"+": a + b, "-": a - b, "*": a * b, "/": a // max(b, 1)}[sign]


def draw(rng: random.Random) -> tuple[int, str, int]:
    """Two numbers and a sign: sums and differences within twenty, the small times tables, divisions without a rest."""
    sign = rng.choice("++++---**/")
    if sign == "+":
        a = rng.randint(0, 20)
        return a, sign, rng.randint(0, 20 if rng.random() < 0.2 else 20 - a)
    if sign == "-":
        a = rng.randint(0, 20)
        return a, sign, rng.randint(0, a)
    a, b = rng.randint(0, 10), rng.randint(1, 10)
    return (a, sign, b) if sign == "*" else (a * b, sign, b)


def question(rng: random.Random) -> tuple[str, str]:
    """A question with numbers and its answer, as templates."""
    kind = rng.random()
    if kind < 0.1:
        return _other(rng)
    if kind < 0.15:
        big = f"{rng.randint(41, 9999)} {rng.choice(('+', '-', '*', 'times', 'plus'))} {rng.randint(13, 999)}"
        return rng.choice(ASK).replace("{sum}", big), rng.choice(_TOO_HARD)
    a, sign, b = draw(rng)
    asked = rng.choice(ASK).replace("{sum}", spoken(a, sign, b, rng))
    shown = f"{a} {sign} {b}"
    return asked, rng.choice(_REPLIES).replace("{sum}", shown).replace("{value}", str(answer(a, sign, b)))


def spoken(a: int, sign: str, b: int, rng: random.Random) -> str:
    """The sum as somebody writes it: `7 + 8`, `7+8`, `seven plus eight`."""
    if rng.random() < 0.2 and max(a, b) <= 20:
        return f"{WORDS[a]} {_SIGNS[sign][1]} {WORDS[b]}"
    if rng.random() < 0.35:
        return f"{a}{sign}{b}"
    return f"{a} {rng.choice(_SIGNS[sign])} {b}"


def _other(rng: random.Random) -> tuple[str, str]:
    asked, reply = rng.choice(_OTHERS)
    low, high = sorted(rng.sample(range(31), 2))
    a, b = rng.randint(1, 20), rng.randint(1, 10)
    values = {"a": a, "b": b, "total": a + b, "next": a + 1, "double": 2 * a, "low": low, "high": high}
    for name, value in values.items():
        asked, reply = asked.replace("{" + name + "}", str(value)), reply.replace("{" + name + "}", str(value))
    return asked, reply
