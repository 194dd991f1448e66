"""Metrics of descriptions, each with its formula, its tie rule and whether it can be trusted.

score(activations, simulated)             # scoring.py: the five sound metrics of many units at once
METRICS["auc"].fault                      # simulation.py: why others are diagnostics
cosy(control, shown)                      # generative.py: activations on images made from the text
ablation_score(real, simulated, mean)     # ablation.py: does the network work with simulated activations
meta_auprc("pearson", a, concepts, own)   # meta.py: does a metric pick the true description out of all
faithfulness(shares, unmodified)          # fade.py: what ratings say of a description, and MIS
clarity(embeddings)                       # interpretability.py: units without any text
text_table(methods, human)                # texts.py: similarity to what people wrote, never without its baselines
UnitMetric("pearson").compute(...)        # wrapped.py: as Hugging Face's evaluate.Metric
"""

from describer.eval.metrics.interpretability import clarity as clarity
from describer.eval.metrics.interpretability import monosemanticity as monosemanticity
from describer.eval.metrics.interpretability import polysemanticity as polysemanticity
from describer.eval.metrics.interpretability import redundancy as redundancy
from describer.eval.metrics.pairs import ALPHA as ALPHA
from describer.eval.metrics.pairs import Pairs as Pairs
from describer.eval.metrics.scoring import metric_of as metric_of
from describer.eval.metrics.scoring import score as score
from describer.eval.metrics.simulation import METRICS as METRICS
from describer.eval.metrics.simulation import SOUND as SOUND
from describer.eval.metrics.simulation import Metric as Metric

__all__ = [
    "ALPHA",
    "METRICS",
    "SOUND",
    "Metric",
    "Pairs",
    "clarity",
    "metric_of",
    "monosemanticity",
    "polysemanticity",
    "redundancy",
    "score",
]
