"""An image-text model small enough to test: a random LLaVA of one layer with a vocabulary of whole words."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

WORDS = [
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    "<image>",
    "what",
    "is",
    "this",
    "red",
    "green",
    "blue",
    "dogs",
    "cats",
    "and",
]
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def save_llava(folder: Path, template: str | None = TEMPLATE, seed: int = 0) -> Path:
    """Weights of the seed, processor and tokenizer in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    words = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )
    eyes = CLIPImageProcessor(size={"shortest_edge": 10}, crop_size={"height": 10, "width": 10})
    LlavaProcessor(
        eyes,
        tokenizer,
        patch_size=5,
        vision_feature_select_strategy="default",
        chat_template=template,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sizes, image_size=10, patch_size=5, projection_dim=8),
        text_config=LlamaConfig(
            **sizes, vocab_size=len(WORDS), num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2
        ),
        image_token_index=WORDS.index("<image>"),
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    for weight in model.parameters():
        weight.data.mul_(6)  # far from uniform, so that orders are not ties and pictures matter
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 2, 0
    model.save_pretrained(folder)
    return folder
