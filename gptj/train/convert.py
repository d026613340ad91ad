"""Turns a GPT-J checkpoint of transformers into what the model server loads: `make model-convert FROM=…`."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError

from gptj.train.conversion import QUANTIZATIONS, CannotConvert, convert_checkpoint

_MODELS = Path(__file__).resolve().parents[2] / "models"


def main() -> None:
    """Convert, and say how to serve what was made; what cannot be converted is one line."""
    options = _options()
    source, revision = options.source, ""
    if not Path(source).is_dir():
        source, _, revision = source.partition("@")
    name = Path(source).resolve().name  # also of `.`
    into = options.into or _MODELS / f"{name}-{options.quantization}"
    if into.exists():
        sys.exit(f"{into} is there already; INTO=… names another folder")
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        # Under its name only once it is whole.
        with TemporaryDirectory(dir=into.parent, prefix="converting-") as scratch:
            convert_checkpoint(source, Path(scratch, "model"), options.quantization, revision or None)
            Path(scratch, "model").rename(into)
    # transformers raises any of these for a checkpoint that is not what it says, some over many lines.
    except (CannotConvert, OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        sys.exit(f"{options.source} cannot be converted: {' '.join(str(error).split())}")
    size = sum(file.stat().st_size for file in into.iterdir()) / 1e6
    print(f"{into} holds the model, in {size:,.0f} MB. Set GPTJ_PATH={into} for `make run`, or serve it to others by:")
    print(f"GPTJ_PATH={into} .venv/bin/python -m gptj.server --port 8001")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gptj.train.convert", description=__doc__)
    parser.add_argument("source", help="a folder, or an id on Hugging Face, such as EleutherAI/gpt-j-6b@float16")
    parser.add_argument("--into", type=Path, help="a folder to make; models/<name>-<quantization> without it")
    parser.add_argument("--quantization", default="int8", choices=QUANTIZATIONS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
