"""What units answer on the images that judge their descriptions, boiled down to what a page shows.

    judging = Judging.of(atlas.responses("layer4"))      # None where the atlas was made without a judge
    judging.evidence(483, atlas.path / "thumbnails")     # the images with the highest mean, how many judge

Answers of a layer may have a hundred megabytes; of them only a few numbers a unit are kept.
"""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, Int64
from torch import Tensor

from describer.responses import STRONGEST, Responses
from describer.search.site.sheet import Evidence, Shown


@dataclass(frozen=True, eq=False)
class Judging:
    """A layer's strongest judging images."""

    n_images: int
    places: dict[int, int]
    "unit -> its row"
    images: Int64[Tensor, "units strongest"]
    means: Float[Tensor, "units strongest"]
    middle: Float[Tensor, " units"]

    @classmethod
    def of(cls, responses: Responses | None) -> "Judging | None":
        """Of a layer's answers; None without them."""
        if responses is None or not len(responses.images):
            return None
        places = {int(unit): row for row, unit in enumerate(responses.unit_ids)}
        images, means = responses.strongest(STRONGEST)
        return cls(len(responses.images), places, images, means, responses.means.median(1).values)

    def evidence(self, unit: int, thumbnails: Path) -> Evidence | None:
        """Of one unit, with those pictures that lie in `thumbnails`."""
        row = self.places.get(unit)
        if row is None:
            return None
        pairs = zip(self.images[row].tolist(), self.means[row].tolist(), strict=True)
        shown = tuple(Shown(image, "", mean) for image, mean in pairs if (thumbnails / f"{image}.jpg").is_file())
        return Evidence(self.n_images, shown, float(self.middle[row]))
