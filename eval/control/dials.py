"""Words as dials of a generator, step by step, in a notebook or behind a page.

    dials = Dials(load_target("carried:gan"), Atlas.open("gan"), seed=3, n=9)
    dials.names()[:3]                        # [("tree", 20), …] what can be said, and how many units it turns
    dials.set("water", 0.2)                  # a fifth of what its units give; 1 as drawn, 0 cut
    dials.paint("tree", (0, 32, 20, 64))     # raised to what is high for them, in a box (left, top, right, bottom)
    dials.undo(); dials.redo()
    dials                                    # in a notebook: the samples; dials.image() elsewhere
    again = Dials.replay(load_target("carried:gan"), dials.told())       # the same pictures, from the JSON alone

Units are found as `describer edit` finds them: descriptions count that were withdrawn, and a unit's next best concepts.
Steps keep units, levels and regions. A move that is refused, as where pictures would not be finite, changes nothing.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from describer import __version__
from describer.area import laid
from describer.atlas import Atlas
from describer.data.latents import BLOCK
from describer.data.targets import Target
from describer.errors import AtlasError, DescriberError, ImagesError
from describer.eval.control.choice import WAYS, by_layer
from describer.eval.control.drawing import Samples
from describer.eval.control.edit import digest
from describer.eval.control.region import shares_of
from describer.eval.control.sayable import sayable
from describer.intervention import Edit

Number = float | int
Box = tuple[Number, Number, Number, Number]
Region = Box | list[Number] | UInt8[np.ndarray, "height width"] | Float[np.ndarray, "height width"] | Image.Image
GAP = 2
"Pixels between the samples of a picture."


@dataclass(frozen=True)
class Step:
    """One move, with all that repeats it."""

    kind: Literal["set", "paint"]
    words: str
    value: float
    "set: factor on the units; paint: their level, in thresholds of each"
    units: dict[str, tuple[int, ...]]
    "layer -> units"
    thresholds: dict[str, tuple[float, ...]]
    "layer -> what is high for each unit; empty for set"
    mask: str | None = None
    "where, a grey PNG in base64, white = 1; None: everywhere"
    sample: int | None = None
    "None: all samples"

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Step":
        """The step that `asdict` told of."""
        units = {layer: tuple(map(int, own)) for layer, own in told["units"].items()}
        levels = {layer: tuple(map(float, own)) for layer, own in told["thresholds"].items()}
        mask = None if told["mask"] is None else str(told["mask"])
        sample = None if told["sample"] is None else int(told["sample"])
        return cls(told["kind"], str(told["words"]), float(told["value"]), units, levels, mask, sample)

    def __post_init__(self) -> None:
        wanted = {layer: len(units) for layer, units in self.units.items()} if self.kind == "paint" else {}
        if self.kind not in ("set", "paint") or {layer: len(own) for layer, own in self.thresholds.items()} != wanted:
            message = "A step must be set, or paint with a threshold for each of its units"
            raise DescriberError(f"{message}. Got {self.kind!r} with others. Save the steps anew.")

    def edits(self, n_samples: int) -> list[Edit]:
        """What the step does to a generator that draws `n_samples` at once; nothing for a factor of 1."""
        if self.kind == "set" and self.value == 1:
            return []
        where = None if self.mask is None else torch.from_numpy(unpacked(self.mask).astype(np.float32) / 255)
        if where is not None and self.sample is not None:
            where = torch.stack([where * (number == self.sample) for number in range(n_samples)])
        found = []
        for layer, units in self.units.items():
            if self.value == 0:
                found.append(Edit(layer, units, "ablate", where=where))
            elif self.kind == "set":
                found.append(Edit(layer, units, "scale", self.value, where))
            else:
                levels = tuple(self.value * level for level in self.thresholds[layer])
                found.append(Edit(layer, units, "raise", levels, where))
        return found


class Dials:
    """Samples of one seed under moves that can be taken back."""

    def __init__(
        self, target: Target, atlas: Atlas | None, seed: int = 0, n: int = 9, top: int = 20, how: str = "words"
    ) -> None:
        if not 1 <= n <= BLOCK or min(seed, top - 1) < 0:
            message = f"n must lie in 1..{BLOCK}, seed from 0 and top from 1"
            raise ImagesError(f"{message}. Got {n}, {seed} and {top}. Ask for fewer samples, or correct the rest.")
        if atlas is not None and atlas.meta.model.fingerprint != target.fingerprint:
            message = f"{atlas.path} must be of {target.name}. Got an atlas of {atlas.meta.model.name}, other weights"
            raise AtlasError(f"{message}. Describe this generator first.")
        if how not in WAYS:
            raise DescriberError(f"how must be {' or '.join(WAYS)}. Got {how!r}. Correct it.")
        self.target, self.atlas, self.seed, self.n, self.top, self.how = target, atlas, seed, n, top, how
        self._samples = Samples(target, seed, n)
        self.before = self._samples.draw()
        "(n, height, width, 3) bytes, as drawn without any step"
        self._steps: list[Step] = []
        self._done = 0
        self._drawn: tuple[tuple[Step, ...], np.ndarray] = ((), self.before)

    # Moves

    def set(self, words: str, factor: Number) -> "Dials":
        """Turn the dial of some words: 1 as drawn, 0 cut, 2 twice; its last turn holds. AtlasErrors as of edit."""
        if not np.isfinite(factor):
            raise DescriberError(f"A dial must be set to a number. Got {factor}. Try 0 or 2.")
        return self._do(Step("set", words, float(factor), self._units(words), {}))

    def paint(self, words: str, where: Region | None = None, level: Number = 1.0, sample: int | None = None) -> "Dials":
        """Raise the units of some words to `level` times what is high for them, in a region; a level of 0 erases.

        The region is a box (left, top, right, bottom) in pixels or a mask of the pictures' aspect, kept in 256 steps;
        of one sample or of all. ImagesError for one that does not fit.
        """
        if not np.isfinite(level) or (sample is not None and not 0 <= sample < self.n):
            message = f"A level must be a number and a sample lie in 0..{self.n - 1}"
            raise DescriberError(f"{message}. Got {level} and {sample}. Correct them.")
        mask = self._mask(where)
        if mask is None and sample is not None:
            mask = np.full(self.before.shape[1:3], 255, np.uint8)
        units = self._units(words)
        kept = None if mask is None else packed(mask)
        return self._do(Step("paint", words, float(level), units, self._thresholds(units), kept, sample))

    def undo(self) -> bool:
        """Take the last step back; False where there is none."""
        return self._done > 0 and self._go(self._steps, self._done - 1)

    def redo(self) -> bool:
        """Do again what was taken back last; False where there is nothing."""
        return self._done < len(self._steps) and self._go(self._steps, self._done + 1)

    # What there is

    def names(self) -> list[tuple[str, int]]:
        """What can be said and how many units it turns, the most frequent words first: each can be a dial."""
        if self.atlas is None:
            return []
        named = sayable(self.atlas, self.top)
        n_units = len({row["id"] for row in self.atlas.units()})
        return named if self.how == "words" else [(words, min(self.top, n_units)) for words, _ in named]

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is done, in order, without what was taken back."""
        return tuple(self._steps[: self._done])

    @property
    def undone(self) -> int:
        """How many steps were taken back and can be done again."""
        return len(self._steps) - self._done

    @property
    def values(self) -> dict[str, float]:
        """Words -> where their dial stands."""
        return {step.words: step.value for step in self.steps if step.kind == "set"}

    def edits(self) -> list[Edit]:
        """All that the steps do: dials in the order in which they were first turned, then paint in order."""
        dials = {step.words: step for step in self.steps if step.kind == "set"}
        strokes = [step for step in self.steps if step.kind == "paint"]
        return [edit for step in (*dials.values(), *strokes) for edit in step.edits(self.n)]

    def pictures(self) -> UInt8[np.ndarray, "n height width 3"]:
        """The samples under all steps; TargetError where a picture is not finite."""
        if self._drawn[0] != self.steps:
            self._drawn = self.steps, self._samples.draw(self.edits())
        return self._drawn[1]

    def image(self, side: int = 128) -> Image.Image:
        """The samples in rows, each `side` pixels high."""
        pictures = self.pictures()
        columns = int(np.ceil(np.sqrt(self.n)))
        width = round(side * pictures.shape[2] / pictures.shape[1])
        rows = -(-self.n // columns)
        sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (side + GAP) - GAP), "white")
        for number, pixels in enumerate(pictures):
            row, column = divmod(number, columns)
            picture = Image.fromarray(pixels).resize((width, side), Image.Resampling.NEAREST)
            sheet.paste(picture, (column * (width + GAP), row * (side + GAP)))
        return sheet

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.image().save(buffer, "PNG")
        return buffer.getvalue()

    # Recorded

    def told(self) -> dict[str, Any]:
        """All steps as JSON, also those taken back, and a digest of the pictures."""
        return {
            "package": __version__,
            "generator": {"name": self.target.name, "fingerprint": self.target.fingerprint},
            "seed": self.seed,
            "n": self.n,
            "top": self.top,
            "how": self.how,
            "steps": [asdict(step) for step in self._steps],
            "done": self._done,
            "pictures": digest(self.pictures()),
        }

    @classmethod
    def replay(cls, target: Target, told: Mapping[str, Any], atlas: Atlas | None = None) -> "Dials":
        """The dials as they were told; the atlas is for new words only. DescriberError where pictures are others."""
        try:
            name, fingerprint = told["generator"]["name"], told["generator"]["fingerprint"]
            wanted, done = str(told["pictures"]), int(told["done"])
            steps = [Step.from_json(step) for step in told["steps"]]
            options: dict[str, Any] = {name: int(told[name]) for name in ("seed", "n", "top")}
            options["how"] = str(told["how"])
        except (KeyError, TypeError, AttributeError, ValueError) as fault:
            raise DescriberError(f"Steps must be what told() gives. Got {fault!r}. Save them anew.") from None
        if fingerprint != target.fingerprint:
            message = f"{target.name} must be the generator of the steps"
            raise DescriberError(f"{message}. Got other weights than {name}. Name the right one.")
        dials = cls(target, atlas, **options)
        dials._steps, dials._done = steps, min(max(done, 0), len(steps))
        found = digest(dials.pictures())
        if found != wanted:
            message = f"Replayed pictures must have digest {wanted[:8]}. Got {found[:8]}"
            raise DescriberError(f"{message}: other arithmetic on this machine. Repeat the steps here.")
        return dials

    # Inside

    def _do(self, step: Step) -> "Dials":
        self._go([*self._steps[: self._done], step], self._done + 1)
        return self

    def _go(self, steps: list[Step], done: int) -> bool:
        """Has so many of the steps done, and draws them; where that is refused, all stays as it was."""
        kept = self._steps, self._done
        self._steps, self._done = steps, done
        try:
            self.pictures()
        except DescriberError:
            self._steps, self._done = kept
            raise
        return True

    def _units(self, words: str) -> dict[str, tuple[int, ...]]:
        known = next((step.units for step in reversed(self._steps) if step.words == words), None)
        if known is not None:
            return known
        if self.atlas is None:
            raise AtlasError(f"New words must have an atlas to be found in. Got {words!r}. Give the atlas to replay.")
        return by_layer(WAYS[self.how](self.atlas, words, self.top, None, ()))

    def _thresholds(self, units: Mapping[str, Sequence[int]]) -> dict[str, tuple[float, ...]]:
        for step in self._steps:
            if step.kind == "paint" and step.units == units:
                return step.thresholds
        if self.atlas is None:
            raise AtlasError("Paint must have an atlas: it knows what is high for a unit. Got none. Give it to replay.")
        found = {}
        for layer, own in units.items():
            exemplars = self.atlas.exemplars(layer)
            level = dict(zip(exemplars.unit_ids.tolist(), exemplars.threshold.tolist(), strict=True))
            found[layer] = tuple(float(level[unit]) for unit in own)
        return found

    def _mask(self, where: Region | None) -> UInt8[np.ndarray, "rows columns"] | None:
        """The region on the pictures' grid, 0..255."""
        if where is None:
            return None
        height, width = self.before.shape[1:3]
        if isinstance(where, tuple | list):
            left, top, right, bottom = where if len(where) == 4 else (0, 0, 0, 0)
            if not (0 <= left < right <= width and 0 <= top < bottom <= height):
                message = f"A box must be (left, top, right, bottom) within {width}x{height}"
                raise ImagesError(f"{message}. Got {where}. Correct it.")
            rows, columns = _covered(top, bottom, height), _covered(left, right, width)
            return np.round(255 * rows[:, None] * columns[None]).astype(np.uint8)
        pixels = shares_of(where) if isinstance(where, Image.Image) else where
        shares = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 1)
        if shares.ndim != 2 or shares.shape[0] * width != shares.shape[1] * height:
            message = f"A mask must have the aspect of the pictures, {width}x{height}"
            raise ImagesError(f"{message}. Got {shares.shape[::-1]}. Crop it.")
        if not ((shares >= 0) & (shares <= 1)).all() or not shares.any():
            raise ImagesError("A mask must lie in 0..1 and not be 0 everywhere. Got another. Correct it.")
        grid: Tensor = laid(torch.from_numpy(shares), (height, width))
        return (255 * grid).round().byte().numpy()


def _covered(start: Number, end: Number, n_pixels: int) -> Float[np.ndarray, " pixels"]:
    """The share of every pixel of a line that lies between two places."""
    pixels = np.arange(n_pixels, dtype=np.float64)
    return (np.minimum(pixels + 1, end) - np.maximum(pixels, start)).clip(0, 1)


def packed(mask: UInt8[np.ndarray, "height width"]) -> str:
    """A grey PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def unpacked(text: str) -> UInt8[np.ndarray, "height width"]:
    """The mask that was packed; DescriberError for anything else."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as picture:
            return np.asarray(picture.convert("L"))
    except (OSError, ValueError) as fault:
        raise DescriberError(f"A mask must be a PNG in base64. Got {fault}. Save the steps anew.") from None
