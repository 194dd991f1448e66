"""A drawn index of many units, on which `scripts/bench search` measures: texts of a small grammar, vectors in clusters.

drawn = DrawnIndex(seed=7, n_units=1_000_000)
drawn.write(folder)                              # the tables of describer.search, through the same code
drawn.write_atlas(folder)                        # an atlas of them without pictures, its index inside
drawn.queries(20)                                # texts and vectors that fit some of the units
drawn.exact([vector], 10)                        # places of the nearest units, every distance computed
"""

from collections.abc import Iterator
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from torch import Tensor

from describer.exemplars import Exemplars
from describer.search.tables import IndexTables, sets_schema, words_schema
from describer.unittable import NESTED, SCHEMA

WIDTH, K, PART, LAYERS, CLUSTERS, N_IMAGES = 256, 5, 20_000, 24, 2_000, 50_000
_COLOURS = "red blue green yellow brown gray black white orange purple pink striped dotted checkered wavy"
_THINGS = """dogs cats birds horses cows sheep people faces hands wheels cars buses trains boats planes houses windows
doors roofs trees leaves flowers grass sand snow water waves clouds sky mountains rocks roads bridges fences lamps signs
letters screens tables chairs beds bottles cups plates fruit bread cakes shoes hats coats bags balls bats rackets"""
_JOINS = "on under beside above behind with near of"
COLOURS, THINGS, JOINS = _COLOURS.split(), _THINGS.split(), _JOINS.split()


class DrawnIndex:
    """Every part of PART units is drawn from the seed and its own number, so that no more than one is in memory."""

    def __init__(self, seed: int, n_units: int) -> None:
        self.seed, self.n_units = seed, n_units
        self.centres = np.random.default_rng(seed).standard_normal((CLUSTERS, WIDTH)).astype(np.float32)

    def write(self, folder: Path) -> None:
        """The tables with all their indexes."""
        IndexTables.write(folder, WIDTH, K, self._batches())

    def write_atlas(self, folder: Path) -> None:
        """The same units as an atlas of LAYERS layers, for the pages."""
        from describer.atlas import Atlas
        from describer.manifest import LayerEntry, Manifest, Source
        from describer.search.atlasindex import Index
        from describer.search.meanings import Meanings

        units: dict[str, list[np.ndarray]] = {}
        (folder / "exemplars").mkdir(parents=True)
        table = lancedb.connect(folder).create_table("units", schema=SCHEMA)
        for _, words in self._batches():
            table.add(_rows(words))
            units.setdefault(words["layer"][0].as_py(), []).append(words["unit"].to_numpy())
        entries = []
        for position, (name, of_layer) in enumerate(units.items()):
            ids, file = np.concatenate(of_layer), folder / "exemplars" / f"{name}.safetensors"
            _exemplars(name, ids, np.random.default_rng((self.seed, position))).save(file)
            entries.append(LayerEntry(name, position, len(ids), 3, 3, True, ("caption",)))
        Manifest(Source("drawn", ""), Source("drawn", ""), N_IMAGES, {"k": K}, tuple(entries)).write(folder)
        self.write(Index.folder(Atlas.open(folder), Meanings.of(None)))

    def queries(self, n: int) -> list[tuple[str, Tensor]]:
        """Texts and unit vectors that are none of the units' own."""
        dice = np.random.default_rng((self.seed, 1 << 20))
        return [(self._text(dice), torch.from_numpy(self._vectors(dice, 1)[0])) for _ in range(n)]

    def exact(self, vectors: list[Tensor], n: int) -> list[list[int]]:
        """Places of the n nearest units of every vector, nearest first; one pass over all units."""
        best: list[list[tuple[float, int]]] = [[] for _ in vectors]
        asked = torch.stack(vectors).numpy()
        for first, units, _, _ in self._parts():
            for own, near in zip(best, asked @ units.T, strict=True):
                top = np.argpartition(-near, min(n, len(near) - 1))[:n]
                own[:] = sorted([*own, *((float(-near[i]), first + int(i)) for i in top)])[:n]
        return [[place for _, place in own] for own in best]

    def _parts(self) -> Iterator[tuple[int, np.ndarray, list[str], np.random.Generator]]:
        for first in range(0, self.n_units, PART):
            dice = np.random.default_rng((self.seed, first))
            n = min(PART, self.n_units - first)
            yield first, self._vectors(dice, n), [self._text(dice) for _ in range(n)], dice

    def _vectors(self, dice: np.random.Generator, n: int) -> np.ndarray:
        noise = dice.standard_normal((n, WIDTH)).astype(np.float32)
        found = self.centres[dice.integers(CLUSTERS, size=n)] + 0.7 * noise
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    @staticmethod
    def _text(dice: np.random.Generator) -> str:
        words = [COLOURS[dice.integers(len(COLOURS))], THINGS[min(int(dice.exponential(14)), len(THINGS) - 1)]]
        if dice.random() < 0.5:
            words += [JOINS[dice.integers(len(JOINS))], THINGS[dice.integers(len(THINGS))]]
        return " ".join(words)

    def _batches(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        for first, vectors, texts, dice in self._parts():
            n = len(texts)
            places = pa.array(np.arange(first, first + n, dtype=np.int32))
            memory = np.tile(dice.standard_normal((100, K * WIDTH)).astype(np.float16), (n // 100 + 1, 1))[:n]
            images = dice.integers(N_IMAGES, size=(n, K)).astype(np.int32)
            sets = [places, _lists(memory), _lists(np.ones((n, K), bool)), _lists(images)]
            earlier, layer = divmod(first // PART, LAYERS)
            columns = {
                "place": places,
                "layer": pa.array([f"layer{layer}"] * n),
                "unit": pa.array(np.arange(earlier * PART, earlier * PART + n, dtype=np.int32)),
                "method": pa.array(["caption"] * n),
                "description": pa.array(texts),
                "formula": pa.array([None] * n, pa.string()),
                "strength": pa.array(dice.exponential(2.0, n)),
                "has_formula": pa.array(dice.random(n) < 0.5),
                "vector": _lists(vectors),
            }
            words = pa.Table.from_arrays(list(columns.values()), schema=words_schema(WIDTH))
            yield pa.Table.from_arrays(sets, schema=sets_schema(WIDTH, K)), words


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
