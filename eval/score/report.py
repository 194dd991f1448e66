"""Methods by metrics, beside shuffled and constant descriptions, with intervals over units.

    report = report_of(said, evidence, foretell)          # of the units that all methods list
    report.rows[0].scores["pearson"]                      # Estimate(value, low, high): mean over units, 95 %
    report.rows[0].p                                      # chance that its texts fit other units of the layer as well
    report.units()                                        # dictionaries, one a unit and method

A unit that a method lists without a description scores 0. The row "shuffled" gives every unit another's text of its
layer; "constant" gives all the one text, of all said, whose mean Pearson's r is highest: to be worth anything, a method
must be above both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from describer.errors import DescriberError
from describer.eval.metrics import ALPHA, SOUND, score
from describer.eval.metrics.simulation import Metric
from describer.eval.score.descriptions import Said, Unit, refuse_strangers
from describer.eval.score.evidence import Evidence, Foreteller, foretold
from describer.statistics import bootstrap_interval, pearson_table, permutation_p

N_SHUFFLES = 999
"Orders of the texts that tell what chance gives."
MOST = 4096
"Units of a layer, drawn at random where it has more, of which orders are tried: their table takes 8 MOST² bytes."

ROUNDING = 1e-9
"Means that differ by less are equal: the same numbers, added in another order."


@dataclass(frozen=True)
class Estimate:
    """A mean over units with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Float[np.ndarray, " units"], seed: int = 0) -> "Estimate":
        return cls(float(np.mean(values)), *bootstrap_interval(values, seed=seed))

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


@dataclass(frozen=True, eq=False)
class MethodScores:
    """One line of the table."""

    method: str
    baseline: bool
    described: float
    "share of units that it describes, 0..1"
    scores: Mapping[str, Estimate]
    "by metric"
    p: float | None
    "permutation p-value of the first metric's analogue, Pearson's r; None for baselines"
    texts: tuple[str | None, ...]
    values: Mapping[str, Float[np.ndarray, " units"]]
    "by metric, one a unit"

    def json(self) -> dict[str, Any]:
        """What `--json` prints."""
        told = {name: vars(estimate) for name, estimate in self.scores.items()}
        about = {"method": self.method, "baseline": self.baseline, "units": len(self.texts)}
        return about | {"described": self.described, "p": self.p, "scores": told}


@dataclass(frozen=True, eq=False)
class Report:
    """What was found of all methods on the same units."""

    units_scored: tuple[Unit, ...]
    rows: tuple[MethodScores, ...]
    foreteller: str
    n_images: int
    alpha: float

    def units(self) -> Iterator[dict[str, Any]]:
        """One dictionary a unit and method, in the order of units."""
        methods = [row for row in self.rows if not row.baseline]
        for i, (layer, unit) in enumerate(self.units_scored):
            for row in methods:
                scores = {name: float(values[i]) for name, values in row.values.items()}
                told = {"layer": layer, "unit": unit, "id": f"{layer}:{unit}", "method": row.method}
                yield told | {"description": row.texts[i], "scores": scores}


def report_of(
    said: Sequence[Said],
    evidence: Evidence,
    foretell: Foreteller,
    metrics: Sequence[str | Metric] = SOUND,
    alpha: float = ALPHA,
    seed: int = 0,
) -> Report:
    """All methods on the units that each of them lists, then the baselines.

    DescriberError where a method tells of what the evidence has not, or the methods have no unit in common.
    """
    refuse_strangers(said, evidence.rows, evidence.where)
    units = common_units(said)
    actual = evidence.activations(units)
    groups = list(_layers(units).values())
    texts = [tuple(each.texts[unit] for unit in units) for each in said]
    rows = []
    for each, own in zip(said, texts, strict=True):
        simulated = foretold(foretell, own)
        values = score(actual, simulated, metrics, alpha)
        rows.append(_row(each.method, own, values, _chance(actual, simulated, groups, seed), seed))
        order = shuffled(groups, len(units), seed)
        others = tuple(own[i] for i in order)
        values = score(actual, simulated[order], metrics, alpha)
        rows.append(_row(f"{each.method}, shuffled", others, values, None, seed))
    best = _best_constant(actual, sorted({t for own in texts for t in own if t}), foretell)
    if best is not None:
        constant = (best,) * len(units)
        values = score(actual, foretold(foretell, constant), metrics, alpha)
        rows.append(_row(f"constant: {best}", constant, values, None, seed))
    rows.sort(key=lambda row: row.baseline)  # stable: methods in their order, then baselines
    return Report(tuple(units), tuple(rows), foretell.name, actual.shape[1], alpha)


def common_units(said: Sequence[Said]) -> list[Unit]:
    """The units that every method lists, by layer and number; DescriberError where there is none."""
    common = set.intersection(*(set(each.texts) for each in said))
    if not common:
        names = " and ".join(each.method for each in said)
        raise DescriberError(f"{names} must tell of the same units. Got none in common. Score them one by one.")
    return sorted(common)


def shuffled(groups: Sequence[Sequence[int]], n: int, seed: int = 0) -> np.ndarray:
    """(units,) whose text each unit gets: another's of its layer, wherever the layer has another."""
    rng, order = np.random.default_rng(seed), np.arange(n)
    for rows in groups:
        mixed = rng.permutation(rows)
        order[mixed] = np.roll(mixed, 1)
    return order


def _row(
    method: str, texts: tuple[str | None, ...], values: dict[str, np.ndarray], p: float | None, seed: int
) -> MethodScores:
    described = float(np.mean([text is not None for text in texts]))
    estimates = {name: Estimate.of(own, seed) for name, own in values.items()}
    return MethodScores(method, p is None, described, estimates, p, texts, values)


def _layers(units: Sequence[Unit]) -> dict[str, list[int]]:
    """Rows of the units of every layer."""
    found: dict[str, list[int]] = {}
    for row, (layer, _) in enumerate(units):
        found.setdefault(layer, []).append(row)
    return found


def _chance(actual: np.ndarray, simulated: np.ndarray, groups: Sequence[Sequence[int]], seed: int) -> float:
    """p of the mean Pearson's r among orders of the texts within their layers."""
    rng = np.random.default_rng(seed)
    observed, null, n_units = 0.0, np.zeros(N_SHUFFLES), 0
    for group in groups:
        rows = np.sort(rng.permutation(group)[:MOST])
        table = pearson_table(simulated[rows], actual[rows])  # (texts, units)
        places = np.arange(len(rows))
        observed += float(table[places, places].sum())
        null += [table[rng.permutation(places), places].sum() for _ in range(N_SHUFFLES)]
        n_units += len(rows)
    return float(permutation_p(observed / n_units - ROUNDING, null / n_units))


def _best_constant(actual: np.ndarray, texts: Sequence[str], foretell: Foreteller) -> str | None:
    """The text whose mean Pearson's r over all units is highest: the strongest description that tells nothing apart."""
    best: tuple[float, str] | None = None
    for start in range(0, len(texts), 512):
        part = texts[start : start + 512]
        means = pearson_table(foretold(foretell, part), actual).mean(1)
        top = int(means.argmax())
        if best is None or means[top] > best[0]:
            best = float(means[top]), part[top]
    return None if best is None else best[1]
