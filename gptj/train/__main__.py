"""Makes gptj/tiny/ from nothing: tokenizer, training, conversion, evaluation."""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer

from gptj.train import tokenizer as tokenizers
from gptj.train.conversion import convert
from gptj.train.evaluation import evaluate, failures, samples
from gptj.train.script import fill
from gptj.train.training import train

_HERE = Path(__file__).parent


def main() -> None:
    """Train, convert, evaluate; a run that was broken off goes on from what it left in the work folder."""
    options = _options()
    if options.failures:
        for question, reply in failures(options.out):
            print(f"[{question.group}] {question.prompt} ->{reply!r}  not {question.rule!r}")
        return
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(options.work / "tokenizer.json", options.seed)
    checkpoint = options.work / "checkpoint.pt"
    model = train(tokenizer, options.steps, options.seed, checkpoint)
    convert(model, tokenizer, options.out)
    checkpoint.unlink()  # the next run begins anew
    _card(options.out, sum(weight.numel() for weight in model.parameters()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gptj.train", description=__doc__)
    parser.add_argument("--steps", type=int, default=3_000, help="steps of the whole run")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=_HERE.parents[1] / ".data" / "train", help="keeps checkpoints")
    parser.add_argument("--out", type=Path, default=_HERE.parent / "tiny")
    parser.add_argument("--failures", action="store_true", help="only print what the model in --out gets wrong")
    return parser.parse_args()


def _tokenizer(path: Path, seed: int) -> Tokenizer:
    if not path.exists():
        tokenizers.train(seed).save(str(path))
    return Tokenizer.from_file(str(path))


def _card(folder: Path, parameters: int) -> None:
    table, talk = evaluate(folder), samples(folder)
    print(f"{table}\n\n{talk}")
    template = (_HERE / "card.md").read_text(encoding="utf-8")
    card = fill(template, parameters=f"{parameters / 1e6:.1f}", table=table, samples=talk)
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")


main()
