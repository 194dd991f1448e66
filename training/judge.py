"""How well a captioner in training tells sets it has not learnt from: BLEU, and how often it says a shared phrase.

judge = Judge(captioner.inventory, held_out, table, n_exemplars=15, seed=0)
judge(model)                                # {"bleu": 0..100, "named": 0..1, "within_four": 0..1, "distinct": 0..1}
"""

from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import nn

from describer.captioner import Captioner
from describer.decoding import DecodingSettings, describe_sets
from describer.inventory import Inventory
from describer.training.corpus import Corpus
from describer.training.regiontable import RegionTable

LEAST = 5
"Regions of which a phrase must have been said to make a held-out set."


class Judge:
    """BLEU of the likeliest text of held-out sets, against every phrase that most of the set shares.

    By plain likelihood, as published: PMI looks for what is special in a set, which no list of references holds.
    False where there is no set: of few sentences none may be held out whose phrase is taught too.
    """

    def __init__(
        self,
        inventory: Inventory,
        corpus: Corpus,
        table: RegionTable,
        n_exemplars: int = 15,
        seed: int = 0,
        n_sets: int = 256,
    ) -> None:
        rng = np.random.default_rng(seed)
        known = set(inventory.phrases)
        phrases = [p for p, ids in corpus.phrases.items() if len(ids) >= LEAST and p in known]
        chosen = rng.choice(phrases, min(n_sets, len(phrases)), replace=False)
        said: list[set[str]] = [set() for _ in range(len(corpus))]
        for phrase, ids in corpus.phrases.items():
            for region in ids.tolist():
                said[region].add(phrase)
        k = n_exemplars
        self.features = torch.zeros(len(chosen), k, table.features.shape[1])
        self.present = torch.zeros(len(chosen), k, dtype=torch.bool)
        self.shared: list[list[str]] = []
        for row, phrase in enumerate(chosen):
            ids = rng.permutation(corpus.phrases[str(phrase)])[:k]
            self.features[row, : len(ids)] = table.look(ids, rng)
            self.present[row, : len(ids)] = True
            counts = Counter(p for region in ids.tolist() for p in said[region])
            self.shared.append(sorted(p for p, count in counts.items() if count >= 0.6 * len(ids)))

    def __bool__(self) -> bool:
        return bool(self.shared)

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """BLEU (0..100) and the share of sets whose first, or one of four, texts is a shared phrase."""
        from sacrebleu.metrics import BLEU

        captioner: Captioner = model.captioner  # type: ignore[assignment]
        captioner._embedded, captioner._priors = None, {}
        with torch.inference_mode():
            settings = DecodingSettings(weight=0.0, evidence=1.0, contrast=0.0, beam=4, shortlist=32, max_length=8)
            rows = describe_sets(captioner, self.features, self.present, settings)
        captioner._embedded, captioner._priors = None, {}
        first = [row[0].text for row in rows]
        most = max(map(len, self.shared))
        references: Any = [[shared[i] if i < len(shared) else None for shared in self.shared] for i in range(most)]
        # BLEU of words and pairs: texts of two words have no longer n-grams, and smoothing would decide
        bleu = BLEU(max_ngram_order=2, smooth_method="add-k").corpus_score(first, references).score
        named = np.mean([text in shared for text, shared in zip(first, self.shared, strict=True)])
        within = np.mean(
            [any(c.text in shared for c in row[:4]) for row, shared in zip(rows, self.shared, strict=True)]
        )
        return {
            "bleu": bleu,
            "named": float(named),
            "within_four": float(within),
            "distinct": len(set(first)) / len(first),
        }
