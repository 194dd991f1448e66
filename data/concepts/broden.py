"""A Broden folder (Bau et al. 2017): index.csv, label.csv, category.csv or c_<category>.csv, and images/.

    concepts = BrodenConcepts("broden1_224")
    concepts.labels(0).maps["part"]        # several maps: Broden's parts overlap

A cell of index.csv holds, with ; between, PNG files whose pixels are R + 256 G label numbers, or label numbers that
hold for the whole picture. Numbers run through all categories in the files and from 1 in every category here.
"""

import csv
import re
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from PIL.Image import Image

from describer.data.concepts.labelmap import read_map
from describer.data.concepts.labels import ConceptSet, ImageLabels, checked_names
from describer.data.decoding import decode
from describer.data.folder import digest_files
from describer.data.images import ImageSet
from describer.errors import ImagesError

Row = dict[str, str]


class BrodenImages(ImageSet):
    """The photographs of a Broden folder, in the order of index.csv."""

    def __init__(self, source: str, files: list[Path]):
        self.source, self.files = source, files

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> Image:
        """Photograph `index`."""
        return decode(self.files[index])

    def _digest(self) -> str:
        return digest_files(self.files, [path.name for path in self.files])


class BrodenConcepts(ConceptSet):
    """The labels of a Broden folder."""

    def __init__(self, source: str):
        self.source, self.root = source, Path(source)
        self.rows = _table(self.root / "index.csv")
        by_number = {int(row["number"]): row["name"] for row in _table(self.root / "label.csv")}
        self.categories = [name for name in self._listed() if self.rows and name in self.rows[0]]
        self._numbers = {category: self._numbers_of(category, by_number) for category in self.categories}
        names = {c: ("", *(by_number[number] for number in numbers)) for c, numbers in self._numbers.items()}
        self.names = checked_names(source, names)
        self._ids = {category: _lookup(self._numbers[category]) for category in self.names}
        self.images = BrodenImages(source, [self.root / "images" / row["image"] for row in self.rows])

    def _listed(self) -> list[str]:
        """The categories: those of category.csv, else those with a c_<category>.csv."""
        if (self.root / "category.csv").exists():
            return [row["name"] for row in _table(self.root / "category.csv")]
        return sorted(path.stem.removeprefix("c_") for path in self.root.glob("c_*.csv"))

    def _numbers_of(self, category: str, by_number: dict[int, str]) -> list[int]:
        """The label numbers of a category, in order."""
        if (self.root / f"c_{category}.csv").exists():
            listed = [int(row["number"]) for row in _table(self.root / f"c_{category}.csv")]
        else:
            told = _table(self.root / "label.csv")
            listed = [int(r["number"]) for r in told if category in re.sub(r"\(\d+\)", "", r["category"]).split(";")]
        for number in listed:
            if number and number not in by_number:
                message = f"label.csv must name every label. Got {category} {number} in {self.source}, which it has not"
                raise ImagesError(f"{message}. Add its line.")
        return sorted({number for number in listed if number})

    def _read(self, index: int) -> ImageLabels:
        row = self.rows[index]
        maps, scalars = {}, {}
        for category in self.categories:
            cells = [cell for cell in (row[category] or "").split(";") if cell]
            files = [cell for cell in cells if not cell.isdecimal()]
            numbers = np.array([int(cell) for cell in cells if cell.isdecimal()], np.int32)
            if files:
                found = [read_map(self.root / "images" / file) for file in files]
                self._refuse_other_size(row, files, found)
                maps[category] = tuple(self._own(category, numbers, index) for numbers in found)
            if len(numbers):
                scalars[category] = tuple(self._own(category, numbers[None], index)[0].tolist())
        return ImageLabels(maps, scalars)

    def _own(self, category: str, numbers: Int32[np.ndarray, "_ _"], index: int) -> Int32[np.ndarray, "_ _"]:
        """Ids from 1 in the category; ImagesError for a number that the category has not."""
        ids = self._ids.get(category, np.zeros(1, np.int32))
        known = numbers < len(ids)
        found = ids[np.where(known, numbers, 0)]
        lost = numbers[(numbers > 0) & (found == 0)]
        if lost.size:
            message = f"Every label must have a name. Got {category} {lost[0]} in picture {index} of {self.source}"
            raise ImagesError(f"{message}, which has none. Add it to label.csv and c_{category}.csv.")
        return found

    def _refuse_other_size(self, row: Row, files: list[str], maps: list[np.ndarray]) -> None:
        """The maps of a picture must be as large as index.csv says (sh, sw), else as the first of them."""
        told = (int(row["sh"]), int(row["sw"])) if row.get("sh") and row.get("sw") else maps[0].shape
        for file, found in zip(files, maps, strict=True):
            if found.shape != told:
                message = f"A mask must be as large as index.csv says, {told[1]}x{told[0]}"
                raise ImagesError(f"{message}. Got {found.shape[1]}x{found.shape[0]} in {file}. Write it anew.")

    def _digest(self) -> str:
        tables = sorted(self.root.glob("*.csv"))
        maps = sorted({file for row in self.rows for c in self.categories for file in _files(row[c])})
        return digest_files([*tables, *(self.root / "images" / file for file in maps)], [p.name for p in tables] + maps)


def _files(cell: str | None) -> list[str]:
    return [part for part in (cell or "").split(";") if part and not part.isdecimal()]


def _lookup(numbers: list[int]) -> Int32[np.ndarray, " numbers"]:
    """Label number -> id in the category, 0 for those of other categories."""
    ids = np.zeros(max(numbers, default=0) + 1, np.int32)
    ids[numbers] = np.arange(1, len(numbers) + 1)
    return ids


def _table(path: Path) -> list[Row]:
    """The rows of a CSV file by the names in its first line."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as fault:
        message = f"A Broden folder must have {path.name}. Got {type(fault).__name__} for {path}"
        raise ImagesError(f"{message}. Check the folder.") from fault
