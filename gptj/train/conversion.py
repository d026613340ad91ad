"""From a GPT-J of transformers to the files that the model server loads."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
from ctranslate2.converters.transformers import GPTJLoader
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer, GPTJForCausalLM, PreTrainedTokenizerFast

from gptj.train.tokenizer import END

QUANTIZATIONS = ("int8", "int8_float16", "float16", "float32")


class CannotConvert(Exception):
    """What was named is no GPT-J that the model server could load; the message says why."""


def convert(model: GPTJForCausalLM, tokenizer: Tokenizer, into: Path) -> None:
    """Write the model that was just trained, in int8, into the folder, over what is there."""
    model.config.activation_function = "gelu_new"  # the same function under the name that GPT-J gives it
    with TemporaryDirectory() as scratch:
        source, out = Path(scratch, "transformers"), Path(scratch, "out")
        model.save_pretrained(source)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END
        ).save_pretrained(source)
        convert_checkpoint(str(source), out)
        into.mkdir(parents=True, exist_ok=True)
        for file in out.iterdir():
            shutil.copyfile(file, into / file.name)


def convert_checkpoint(source: str, into: Path, quantization: str = "int8", revision: str | None = None) -> None:
    """Write model.bin, config.json, vocabulary.json and tokenizer.json into a new folder.

    `source` is a folder or the id of a repository on Hugging Face. Raises CannotConvert, or OSError where it cannot be
    read or written.
    """
    config = AutoConfig.from_pretrained(source, revision=revision)
    if config.model_type != "gptj":
        raise CannotConvert(f"{source} is no GPT-J but {config.model_type}")
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
    if not tokenizer.is_fast:
        raise CannotConvert(f"the tokenizer of {source} cannot be written as tokenizer.json")
    # As it is stored, unless half of that is wanted: then the whole is never in memory.
    dtype = torch.float16 if quantization.endswith("float16") else "auto"
    spec = _spec(GPTJForCausalLM.from_pretrained(source, revision=revision, dtype=dtype), tokenizer)
    spec.validate()
    spec.optimize(quantization)
    into.mkdir(parents=True)
    spec.save(str(into))
    tokenizer.backend_tokenizer.save(str(into / "tokenizer.json"))
    # CTranslate2 forgets the length of the context; whoever builds prompts wants to know it.
    path = into / "config.json"
    kept = {"n_positions": config.n_positions, "layer_norm_epsilon": config.layer_norm_epsilon}
    path.write_text(json.dumps(json.loads(path.read_text()) | kept, indent=2) + "\n")


def _spec(model: GPTJForCausalLM, tokenizer: Any) -> Any:
    """The model as CTranslate2 describes it. Its caller must not keep the model: what is quantized is freed at once."""
    rows = model.get_input_embeddings().num_embeddings
    tokens = {id: token for token, id in tokenizer.get_vocab().items()}
    # The embedding may have more rows than there are tokens, and other numbers may be free: CTranslate2 wants a name
    # for every row. A token without a row was added without training, and means nothing to the model.
    named = {tokens.get(row, f"<|unused {row}|>"): row for row in range(rows)}
    end = tokenizer.eos_token or tokens.get(model.config.eos_token_id)
    if end not in named:
        raise CannotConvert("its tokenizer has no token that ends a text")
    begin, unknown = (token if token in named else end for token in (tokenizer.bos_token, tokenizer.unk_token))
    with torch.no_grad():
        return GPTJLoader()(
            model, SimpleNamespace(get_vocab=lambda: named, bos_token=begin, eos_token=end, unk_token=unknown)
        )
