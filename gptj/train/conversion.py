"""From the trained model to the files that the model server loads."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer
from transformers import GPTJForCausalLM, PreTrainedTokenizerFast

from gptj.train.tokenizer import END


def convert(model: GPTJForCausalLM, tokenizer: Tokenizer, into: Path) -> None:
    """Write model.bin (int8), config.json, vocabulary.json and tokenizer.json."""
    model.config.activation_function = "gelu_new"  # the same function under the name that GPT-J gives it
    with TemporaryDirectory() as scratch:
        source = Path(scratch, "transformers")
        model.save_pretrained(source)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END
        ).save_pretrained(source)
        TransformersConverter(str(source)).convert(str(Path(scratch, "out")), quantization="int8")
        into.mkdir(parents=True, exist_ok=True)
        for file in Path(scratch, "out").iterdir():
            shutil.copyfile(file, into / file.name)
    tokenizer.save(str(into / "tokenizer.json"))
    _say_context(into / "config.json", model.config.n_positions)


def _say_context(path: Path, positions: int) -> None:
    """CTranslate2 forgets the length of the context; whoever builds prompts wants to know it."""
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "n_positions": positions}, indent=2) + "\n")
