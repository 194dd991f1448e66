"""The metrics as Hugging Face's `evaluate.Metric`; nothing is fetched, as the code is here.

    UnitMetric("pearson").compute(predictions=simulated, references=activations)      # {"pearson": …, "units": […]}

Predictions are what descriptions foretell, references what units answer: lists of rows, one a unit. The value is the
mean over units. Import this module only where it is used: `evaluate` takes seconds to load.
"""

from typing import Any

import datasets
import evaluate
import numpy as np

from describer.eval.metrics.pairs import ALPHA
from describer.eval.metrics.scoring import metric_of, score


class UnitMetric(evaluate.Metric):
    """One metric of `METRICS` by name; DescriberError for an unknown one."""

    def __init__(self, name: str = "pearson", **options: Any):
        self.metric = metric_of(name)
        super().__init__(config_name=name, **options)

    def _info(self) -> evaluate.MetricInfo:
        row = datasets.Sequence(datasets.Value("float32"))
        about = self.metric.about + (f" Diagnostic: {self.metric.fault}." if self.metric.fault else "")
        return evaluate.MetricInfo(
            description=about,
            citation="",
            features=datasets.Features({"predictions": row, "references": row}),
            inputs_description="predictions: simulated activations, references: activations; rows are units.",
        )

    def _compute(self, predictions: Any, references: Any, alpha: float = ALPHA) -> dict[str, Any]:
        rows = np.asarray(references, np.float64), np.asarray(predictions, np.float64)
        values = score(*rows, [self.metric], alpha)[self.metric.name]
        return {self.metric.name: float(values.mean()), "units": values.tolist()}
