"""Dual encoders small enough to test: random weights, with real vocabularies and tokenizers."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipProcessor,
)

from describer.listener import Listener, ListenerConfig
from describer.vocabulary import Vocabulary

TEXTS = ["dogs", "a brown dog runs over the grass", "striped objects", "red cars", "sky above water", "wheels of cars"]
OWN = {"channels": [8, 11, 13, 17], "semantic": 19}
SIZES = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
SEEN = {"image_size": 20, "patch_size": 5}


def pictures(n: int, seed: int = 0) -> list[Image.Image]:
    """Noise around a colour of its own, each of another size."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        pixels = rng.integers(0, 256, 3) + rng.integers(-40, 41, (31 + i, 37 - i, 3))
        made.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    return made


def small_listener(seed: int = 0) -> Listener:
    """Width 12, 7 dims, random weights of the seed."""
    torch.manual_seed(seed)
    vocabulary = Vocabulary.train(TEXTS * 3, 60)
    config = ListenerConfig(
        len(vocabulary), OWN, width=12, dims=7, n_queries=3, side=8, n_layers=2, n_heads=2, max_text_length=11
    )
    listener = Listener(config)
    listener.vocabulary = vocabulary
    for weight in listener.parameters():
        weight.data.mul_(3)  # far from uniform, so that orders are not ties
    return listener.eval()


def save_clip(folder: Path) -> Path:
    """A random CLIP of 6 dims that reads letters."""
    folder.mkdir(exist_ok=True)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = ["<|startoftext|>", *letters, *(f"{letter}</w>" for letter in letters), "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    ends = {"bos_token_id": 0, "eos_token_id": len(tokens) - 1, "pad_token_id": len(tokens) - 1}
    words = SIZES | ends | {"vocab_size": len(tokens), "max_position_embeddings": 23}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=words, vision_config=SIZES | SEEN, projection_dim=6)).save_pretrained(folder)
    eyes = CLIPImageProcessor(size={"shortest_edge": 20}, crop_size={"height": 20, "width": 20})
    CLIPProcessor(eyes, tokenizer).save_pretrained(folder)
    return folder


def save_siglip(folder: Path) -> Path:
    """A random SigLIP of 8 dims that reads whole words; its own scale is 11 and its bias -2."""
    words_of = sorted({word for text in TEXTS for word in text.split()})
    reader = Tokenizer(WordLevel({word: place for place, word in enumerate(["<pad>", "<unk>", *words_of])}, "<unk>"))
    reader.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=reader, pad_token="<pad>", unk_token="<unk>")
    words = SIZES | {"vocab_size": len(words_of) + 2, "max_position_embeddings": 13}
    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(text_config=words, vision_config=SIZES | SEEN))
    model.logit_scale.data.fill_(float(np.log(11)))
    model.logit_bias.data.fill_(-2)
    model.save_pretrained(folder)
    SiglipProcessor(SiglipImageProcessor(size={"height": 20, "width": 20}), tokenizer).save_pretrained(folder)
    return folder
