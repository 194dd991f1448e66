"""A drawn atlas of many units, on which `scripts/bench search` measures: texts of a small grammar, vectors as spread
as those of 1,024 units of a trained network (a mean of length .78; 40 directions hold nine tenths of the rest).

drawn = DrawnAtlas(seed=7, n_units=1_000_000)
drawn.write(folder)                              # an atlas without pictures
drawn.write_index(folder)                        # the index of its search, through the code that makes every index
drawn.queries(20)                                # texts and vectors that fit some of the units
drawn.exact([vector], 10)                        # places of the nearest units, every distance computed
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from torch import Tensor

from describer.atlas import Atlas
from describer.exemplars import Exemplars
from describer.manifest import LayerEntry, Manifest, Source
from describer.search.atlasindex import Index
from describer.search.index import Searcher
from describer.search.meanings import Meanings
from describer.search.query import Filters
from describer.search.tables import IndexTables, sets_schema, words_schema
from describer.unittable import NESTED, SCHEMA

WIDTH, K, PART, LAYERS, N_IMAGES = 256, 15, 20_000, 24, 50_000
MEAN, FAR = 0.78, 0.3
"Length of the mean of units' vectors, and of that of queries which lie apart from all of them."
_COLOURS = "red blue green yellow brown gray black white orange purple pink striped dotted checkered wavy"
_THINGS = """dogs cats birds horses cows sheep people faces hands wheels cars buses trains boats planes houses windows
doors roofs trees leaves flowers grass sand snow water waves clouds sky mountains rocks roads bridges fences lamps signs
letters screens tables chairs beds bottles cups plates fruit bread cakes shoes hats coats bags balls bats rackets"""
_JOINS = "on under beside above behind with near of"
COLOURS, THINGS, JOINS = _COLOURS.split(), _THINGS.split(), _JOINS.split()


class DrawnAtlas:
    """Every part of PART units is drawn from the seed and its own number, so that no more than one is in memory."""

    def __init__(self, seed: int, n_units: int) -> None:
        self.seed, self.n_units = seed, n_units
        self.drawing = 0.0
        "Seconds that drawing has taken so far, which are not the index's."
        variances = (1 + np.arange(WIDTH) / 8) ** -2.0
        deviations = np.sqrt((1 - MEAN**2) * variances / variances.sum())
        turned, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((WIDTH, WIDTH)))
        self._spread, self._mean = (deviations[:, None] * turned).astype(np.float32), turned[-1].astype(np.float32)

    def write(self, folder: Path) -> None:
        """An atlas of LAYERS layers without pictures and without an index."""
        units: dict[str, list[np.ndarray]] = {}
        (folder / "exemplars").mkdir(parents=True)
        table = lancedb.connect(folder).create_table("units", schema=SCHEMA)
        for first in range(0, self.n_units, PART):
            words = self._words(first)
            table.add(_rows(words))
            units.setdefault(words["layer"][0].as_py(), []).append(words["unit"].to_numpy())
        entries = []
        for position, (name, of_layer) in enumerate(units.items()):
            ids, file = np.concatenate(of_layer), folder / "exemplars" / f"{name}.safetensors"
            _exemplars(name, ids, np.random.default_rng((self.seed, 2, position))).save(file)
            entries.append(LayerEntry(name, position, len(ids), 3, 3, True, ("caption",)))
        Manifest(Source("drawn", ""), Source("drawn", ""), N_IMAGES, {"k": K}, tuple(entries)).write(folder)

    def write_index(self, folder: Path) -> None:
        """The index of an atlas that was written, as the carried captioner's."""
        IndexTables.write(Index.folder(Atlas.open(folder), Meanings.of(None)), WIDTH, K, self._batches())

    def queries(self, n: int) -> list[tuple[str, Tensor]]:
        """Texts and unit vectors that are none of the units' own; every second vector lies apart from them."""
        dice = np.random.default_rng((self.seed, 3))
        vectors = self._vectors(dice, n)
        vectors[1::2] = self._vectors(dice, n, FAR)[1::2]
        return list(zip(self._texts(dice, n), torch.from_numpy(vectors), strict=True))

    def exact(self, vectors: list[Tensor], n: int) -> list[list[int]]:
        """Places of the n nearest units of every vector, nearest first; one pass over all units."""
        best: list[list[tuple[float, int]]] = [[] for _ in vectors]
        asked = torch.stack(vectors).numpy()
        for first in range(0, self.n_units, PART):
            for own, near in zip(best, asked @ self._part(first)[0].T, strict=True):
                top = np.argpartition(-near, min(n, len(near) - 1))[:n]
                own[:] = sorted([*own, *((float(-near[i]), first + int(i)) for i in top)])[:n]
        return [[place for _, place in own] for own in best]

    def _part(self, first: int) -> tuple[np.ndarray, np.random.Generator]:
        """Vectors of the units from the place `first` on, and the dice for all else of them."""
        dice = np.random.default_rng((self.seed, 1, first))
        return self._vectors(dice, min(PART, self.n_units - first)), dice

    def _vectors(self, dice: np.random.Generator, n: int, mean: float = MEAN) -> np.ndarray:
        found = dice.standard_normal((n, WIDTH), np.float32) @ self._spread + np.float32(mean) * self._mean
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    @staticmethod
    def _texts(dice: np.random.Generator, n: int) -> list[str]:
        colours, joins, others = (dice.integers(len(words), size=n) for words in (COLOURS, JOINS, THINGS))
        things = np.minimum(dice.exponential(14, n).astype(int), len(THINGS) - 1)
        ends = [f" {JOINS[join]} {THINGS[other]}" for join, other in zip(joins, others, strict=True)]
        long = dice.random(n) < 0.5
        parts = zip(colours, things, ends, long, strict=True)
        return [f"{COLOURS[colour]} {THINGS[thing]}{end if more else ''}" for colour, thing, end, more in parts]

    def _words(self, first: int) -> pa.Table:
        vectors, dice = self._part(first)
        n = len(vectors)
        earlier, layer = divmod(first // PART, LAYERS)
        texts = pa.array(self._texts(dice, n))
        columns = [
            pa.array(np.arange(first, first + n, dtype=np.int32)),
            pa.array([f"layer{layer}"] * n),
            pa.array(np.arange(earlier * PART, earlier * PART + n, dtype=np.int32)),
            pa.array(["caption"] * n),
            texts,
            *[pa.nulls(n, pa.string())] * 2,
            texts,
            pa.array(dice.exponential(2.0, n)),
            pa.array(dice.random(n) < 0.5),
            _lists(vectors),
        ]
        return pa.Table.from_arrays(columns, schema=words_schema(WIDTH))

    def _batches(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        for first in range(0, self.n_units, PART):
            begun = time.perf_counter()
            words, dice = self._words(first), np.random.default_rng((self.seed, 4, first))
            n = len(words)
            memory = np.tile(dice.standard_normal((100, K * WIDTH)).astype(np.float16), (n // 100 + 1, 1))[:n]
            images = dice.integers(N_IMAGES, size=(n, K)).astype(np.int32)
            columns = [words["place"], _lists(memory), _lists(np.ones((n, K), bool)), _lists(images)]
            sets = pa.Table.from_arrays(columns, schema=sets_schema(WIDTH, K))
            self.drawing += time.perf_counter() - begun
            yield sets, words


def _lists(rows: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def _rows(words: pa.Table) -> pa.Table:
    """Rows of the table of an atlas; what was not drawn is null."""
    n = len(words)
    known = {name: words[name] for name in ("layer", "unit", "method", "description")}
    known["id"] = pa.compute.binary_join_element_wise(words["layer"], words["unit"].cast(pa.string()), ":")
    known |= {"pmi": words["strength"], "dead": pa.array(np.zeros(n, bool))}
    empty = {name: pa.array([[]] * n, SCHEMA.field(name).type) for name in NESTED}
    columns = {f.name: pa.nulls(n, f.type) for f in SCHEMA} | known | empty
    return pa.table(columns).select(SCHEMA.names).cast(SCHEMA)


def _exemplars(layer: str, ids: np.ndarray, dice: np.random.Generator) -> Exemplars:
    n = len(ids)
    activations = np.sort(dice.exponential(1.0, (n, K)).astype(np.float32) + 1)[:, ::-1].copy()
    return Exemplars(
        layer,
        torch.from_numpy(ids.astype(np.int64)),
        torch.from_numpy(dice.integers(N_IMAGES, size=(n, K))),
        torch.from_numpy(activations),
        torch.from_numpy(dice.random((n, K, 3, 3)).astype(np.float16)),
        torch.full((n,), 0.5),
        torch.zeros(n, dtype=torch.bool),
    )


def indexing_report(drawn: DrawnAtlas, folder: Path) -> Iterator[str]:
    """Draws an atlas and its index there; what both took, the drawing of what is indexed apart."""
    took = _seconds(partial(drawn.write, folder))
    yield f"{drawn.n_units:,} units with {K} exemplars each, drawn and written as an atlas: {took:.0f} s"
    took = _seconds(partial(drawn.write_index, folder)) - drawn.drawing
    yield f"its index written and made: {took:.0f} s, without {drawn.drawing:.0f} s of drawing"


def query_report(drawn: DrawnAtlas, folder: Path, n_queries: int, n_near: int) -> Iterator[str]:
    """What each part of a search takes and a whole one, and how many of the nearest units it finds."""
    searcher = Searcher(folder)
    index = searcher.indexes[0]
    tables, layers = index.tables, tuple(index.layers[::8])
    where = Filters(layers, min_score=0.5).where(index.layers)
    first, asked = drawn.queries(n_queries + 5)[:5], drawn.queries(n_queries + 5)[5:]
    whole = partial(searcher.search, k=10, layers=layers, min_score=0.5)  # as `describer search`

    def steps(text: str, vector: Tensor) -> dict[str, Callable[[], Any]]:
        return {
            "words, filter": partial(tables.by_words, text, where, 100),
            "vector": partial(tables.by_vector, vector, None, 100),
            "vector, filter": partial(tables.by_vector, vector, where, 100),
            "text + filter, whole, before the rerank of 100": partial(whole, text, how="fused"),
            "text + filter, whole, with the rerank of 100": partial(whole, text),
        }

    for each in first:  # what is read once
        for step in steps(*each).values():
            step()
    times: dict[str, list[float]] = {}
    for each in asked:
        for name, step in steps(*each).items():
            times.setdefault(name, []).append(1000 * _seconds(step))
    for name, spent in times.items():
        slow = sorted(spent)[int(0.95 * len(spent))]
        yield f"{name}: median {median(spent):.0f} ms, p95 {slow:.0f} ms of {len(spent)} queries"
    exact = drawn.exact([vector for _, vector in asked], n_near)
    found = [{each.place for each in tables.by_vector(vector, None, n_near)} for _, vector in asked]
    recalls = [len(own & {*wanted}) / n_near for own, wanted in zip(found, exact, strict=True)]
    for name, some in (("as units lie", recalls[::2]), ("apart from them", recalls[1::2])):
        yield f"recall@{n_near} of vectors against exact, {name}: {sum(some) / len(some):.3f}"


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
