"""A GPT-J in transformers, run by the Python of .venv-peers: makes a small random one, and tells what it says.

`peer_gptj.py make FOLDER DTYPE` writes a checkpoint; `peer_gptj.py compare FOLDER CONVERTED` prints as JSON how far
the logits of both are apart, and the greedy replies of both to the same prompts.
"""

import json
import sys
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoTokenizer, GPTJConfig, GPTJForCausalLM

PROMPTS = ["Human: Hi!\nBot:", "Human: What is the capital of France?\nBot: Paris.\nHuman: Thanks, Zoë! 🙂\nBot:"]
REPLY_TOKENS, SPARE_ROWS, END = 40, 10, "<|endoftext|>"


def make(folder: Path, dtype: str) -> None:
    """All of the architecture, and everything random, so that nothing that is left out goes unnoticed."""
    folder.mkdir()
    words = ByteLevelBPETokenizer()
    words.train_from_iterator(PROMPTS, vocab_size=300, special_tokens=[END])
    words.save_model(str(folder))  # vocab.json and merges.txt, as the slow tokenizer has them
    name = {"tokenizer_class": "GPT2Tokenizer", "eos_token": END, "bos_token": END, "unk_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(name))
    torch.manual_seed(5)
    config = GPTJConfig(
        vocab_size=words.get_vocab_size() + SPARE_ROWS, n_positions=256, n_embd=64, n_layer=3, n_head=4, rotary_dim=8,
        layer_norm_epsilon=1e-3, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPTJForCausalLM(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights += torch.randn_like(weights) / 5
    model.to(getattr(torch, dtype)).save_pretrained(folder)


def compare(folder: Path, converted: Path) -> dict[str, Any]:
    """Both compute in float32, whatever the weights are stored in."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = GPTJForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ours = ctranslate2.Generator(str(converted), device="cpu", compute_type="float32")
    apart, theirs_say, ours_say = 0.0, [], []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        tokens = tokenizer.convert_ids_to_tokens(ids[0])
        with torch.no_grad():
            expected = model(ids).logits.numpy()
            reply = model.generate(ids, max_new_tokens=REPLY_TOKENS, do_sample=False)[0, ids.shape[1] :]
        apart = max(apart, float(np.abs(np.array(ours.forward_batch([tokens])) - expected).max()))
        (result,) = ours.generate_batch(
            [tokens], max_length=REPLY_TOKENS, sampling_topk=1, include_prompt_in_result=False
        )
        theirs_say.append(reply.tolist())
        ours_say.append(result.sequences_ids[0])
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in theirs_say]
    return {"apart": apart, "theirs": theirs_say, "ours": ours_say, "prompts": PROMPTS, "texts": texts}


if __name__ == "__main__":
    command, first, second = sys.argv[1:]
    if command == "make":
        make(Path(first), second)
    else:
        print(json.dumps(compare(Path(first), Path(second))))
