"""The picture that stands for a unit where its address is shared: its words and its strongest exemplars.

content = preview(library, "layer4", 483)        # a JPEG of some 15 kB
"""

import io

from PIL import Image

from describer.atlas import THUMBNAIL
from describer.picture import FINE, UnitCard, contact_sheet
from describer.search.site.library import Library

N_EXEMPLARS = 4
QUALITY = 82


def preview(library: Library, layer: str, unit: int) -> bytes:
    """The JPEG; AtlasError where the atlas has not the unit."""
    card, shown = library.card(layer, unit), library.shown(layer, unit, N_EXEMPLARS, 2)
    masks = library.masks(layer, unit, THUMBNAIL * FINE)[: len(shown)]
    images = tuple(Image.open(io.BytesIO(library.picture(each.image))).convert("RGB") for each in shown)
    scores = () if card.score is None or card.text is None else (f"{card.measure} {card.score:.2f}",)
    told = UnitCard(card.id, card.text, scores, (), images, masks, card.dead)
    sheet, file = contact_sheet([told], n_exemplars=N_EXEMPLARS, side=112), io.BytesIO()
    sheet.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
