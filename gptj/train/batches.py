"""Windows as tensors: batches of about the same length, so that little of a step is padding."""

from collections.abc import Iterator
from itertools import islice

import torch
from tokenizers import Tokenizer

from gptj.train.corpus import Corpus, Segment

LONGEST = 640  # tokens of a window
_POOL = 2_048  # windows that are sorted by length before they are cut into batches


def batches(corpus: Corpus, tokenizer: Tokenizer, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (tokens, weights), each of shape (windows, length) and about `size` tokens."""
    windows = corpus.windows()
    while True:
        pool = sorted((encode(window, tokenizer) for window in islice(windows, _POOL)), key=lambda pair: len(pair[0]))
        cuts = list(_cut(pool, size))
        corpus.rng.shuffle(cuts)
        yield from map(_pad, cuts)


def encode(window: list[Segment], tokenizer: Tokenizer) -> tuple[list[int], list[float]]:
    """The window's tokens and their weights, the oldest cut away where it is too long."""
    tokens: list[int] = []
    weights: list[float] = []
    for segment in window:
        ids = tokenizer.encode(segment.text).ids
        tokens += ids
        weights += [segment.weight] * len(ids)
    return tokens[-LONGEST:], weights[-LONGEST:]


def _cut(pool: list[tuple[list[int], list[float]]], size: int) -> Iterator[list[tuple[list[int], list[float]]]]:
    batch: list[tuple[list[int], list[float]]] = []
    for pair in pool:
        if batch and len(pair[0]) * (len(batch) + 1) > size:
            yield batch
            batch = []
        batch.append(pair)
    yield batch


def _pad(batch: list[tuple[list[int], list[float]]]) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.zeros(len(batch), len(batch[-1][0]), dtype=torch.long)
    weights = torch.zeros(tokens.shape)
    for row, (ids, shares) in enumerate(batch):
        tokens[row, : len(ids)] = torch.tensor(ids)
        weights[row, : len(ids)] = torch.tensor(shares)
    return tokens, weights
