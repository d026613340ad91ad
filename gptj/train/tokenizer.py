"""The byte-level BPE tokenizer: every byte is a token, so there is no text that it cannot spell."""

from itertools import islice

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from gptj.train.corpus import Corpus

VOCABULARY = 2048
END = "<|endoftext|>"  # GPT-J's one special token, here also the padding


def train(seed: int, windows: int = 60_000) -> Tokenizer:
    """A tokenizer of exactly VOCABULARY entries, learnt from so many windows of the corpus."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = ("".join(segment.text for segment in window) for window in islice(Corpus(seed).windows(), windows))
    tokenizer.train_from_iterator(texts, trainer)
    # The embedding has a row for each entry: CTranslate2 refuses a vocabulary of another size.
    tokenizer.add_tokens([f"<|extra_{i}|>" for i in range(VOCABULARY - tokenizer.get_vocab_size())])
    return tokenizer
