"""What tests of several rooms make without Ray: stages, one after another, and tokenizers of whole words."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from w2s_ray.spec import Loss, Training
from w2s_ray.stages.artifacts import EXAMPLES
from w2s_ray.stages.finetune import train_alone
from w2s_ray.stages.hint import hint_stage
from w2s_ray.stages.run import _device, _examples, _features
from w2s_ray.stages.stage import ExtractFeatures, Finetune, Hint, LoadExamples, ModelIdentity, Stage
from w2s_ray.stages.store import Store


def stage_of(seed: int = 0) -> Stage:
    """Returns a stage that trains nothing; stages of two seeds have two addresses."""
    model = ModelIdentity(weights="w", depth=1, pooling="mean", max_length=8)
    return Stage(Finetune(model=model, train="head", half="weak", loss=Loss(), training=Training(), seed=seed))


def make(stage: Stage, store: Store) -> None:
    """Makes a stage and what it reads, where they are not in the store yet."""
    for needed in stage.inputs.values():
        make(needed, store)
    if store.has(stage.address):
        return
    if isinstance(stage.settings, LoadExamples):
        _examples(stage, stage.settings, store, "test")
    elif isinstance(stage.settings, ExtractFeatures):
        _features([stage], store, "test")
    elif isinstance(stage.settings, Hint):
        with store.publish(stage, "test") as draft:
            hint_stage(stage, store)[0].write(draft.path / EXAMPLES)
    else:
        _device(stage)  # gives torch the stage's threads, where those of features would be left
        trained = train_alone(stage, store)
        with store.publish(stage, "test") as draft:
            trained.write(draft.path)
            draft.summary = trained.summary


def save_word_tokenizer(folder: Path, words: Sequence[str]) -> None:
    """Saves a tokenizer that knows whole words, each by its place; `[UNK]` and `<eos>` are among them."""
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="<eos>").save_pretrained(folder)
