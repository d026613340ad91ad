"""Trains the tiny GPT-J on two CPU cores. A run that was broken off goes on from its last checkpoint."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import GPTJConfig, GPTJForCausalLM

from gptj.train.batches import batches
from gptj.train.corpus import Corpus

WARMUP = 200  # steps
_SIZE = 4_096  # tokens in a batch
_SAVE_EVERY = 100


def tiny(vocabulary: int) -> GPTJForCausalLM:
    """A GPT-J of 4.2 million parameters, not yet trained."""
    config = GPTJConfig(
        vocab_size=vocabulary,
        n_positions=1024,
        n_embd=256,
        n_layer=4,
        n_head=4,
        rotary_dim=32,
        activation_function="gelu_pytorch_tanh",  # GPT-J's gelu_new in one kernel: a third less time
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
    )
    return GPTJForCausalLM(config)


def train(tokenizer: Tokenizer, steps: int, seed: int, checkpoint: Path) -> GPTJForCausalLM:
    """The model after so many steps, one step a batch; `checkpoint` is written on the way and read if it is there."""
    torch.manual_seed(seed)
    model = tiny(tokenizer.get_vocab_size())
    optimizers = _optimizers(model)
    first = _restore(checkpoint, model, optimizers)
    # A resumed run draws dialogues of its own: the first steps' ones are not made again.
    data = batches(Corpus(seed + first), tokenizer, _SIZE)
    started, average = time.monotonic(), 0.0
    for step in range(first, steps):
        loss = _step(model, optimizers, data, _rate(step, steps))
        average = loss if step == first else 0.98 * average + 0.02 * loss
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == steps:
            _save(checkpoint, model, optimizers, step + 1)
            print(f"step {step + 1}/{steps}  loss {average:.3f}  {time.monotonic() - started:.0f} s", flush=True)
    return model.eval()


def _optimizers(model: GPTJForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, where it needs half of AdamW's steps (measured); AdamW for all the rest."""
    matrices = [weight for weight in model.transformer.h.parameters() if weight.ndim == 2]
    chosen = {id(weight) for weight in matrices}
    rest = [weight for weight in model.parameters() if id(weight) not in chosen]
    optimizers = [
        torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.02, adjust_lr_fn="original"),
        torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def _rate(step: int, steps: int) -> float:
    """The share of the peak's learning rate: warm-up, then half a cosine down to nearly nothing."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP))) / 2


def _step(
    model: GPTJForCausalLM,
    optimizers: list[torch.optim.Optimizer],
    data: Iterator[tuple[torch.Tensor, torch.Tensor]],
    rate: float,
) -> float:
    tokens, weights = next(data)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=tokens).logits[:, :-1]
    losses = cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    loss = (losses * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["peak"]
        optimizer.step()
        optimizer.zero_grad()
    return float(loss.item())


def _save(path: Path, model: GPTJForCausalLM, optimizers: list[torch.optim.Optimizer], step: int) -> None:
    fresh = path.with_suffix(".new")
    states = [optimizer.state_dict() for optimizer in optimizers]
    torch.save({"model": model.state_dict(), "optimizers": states, "step": step}, fresh)
    fresh.replace(path)  # a run that is killed while it saves keeps the checkpoint before


def _restore(path: Path, model: GPTJForCausalLM, optimizers: list[torch.optim.Optimizer]) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["step"])
