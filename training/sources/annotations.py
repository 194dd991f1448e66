"""MILANNOTATIONS folders: every unit is one ready-made set, its masked exemplars → the sentences of three people.

    corpus = read_annotations("milannotations/resnet152/imagenet", folds=range(6))
    regions, sentences = corpus.sets[0]

49 kB an exemplar: `units_per_layer` and `k` keep a large layer within memory. Published layers come without ImageNet's
pictures; `photos` then names the images that ids.csv counts in (squashed to the mask, as published).
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from describer.data.milannotations import AnnotatedExemplars, list_annotated_layers, read_annotated_exemplars
from describer.description import ImageSource
from describer.errors import ImagesError
from describer.training.corpus import Corpus, CorpusBuilder, check_folds, coverage, split_of
from describer.training.sources.captions import shared_phrases


def read_annotations(
    paths: str | Path,
    folds: Collection[int],
    *,
    layers: Sequence[str] | None = None,
    photos: str | None = None,
    k: int | None = None,
    units_per_layer: int | None = None,
    min_people: int = 2,
) -> Corpus:
    """One set a described unit of each layer (default all); a unit's fold is that of its name "layer:unit".

    Phrases that at least `min_people` wrote, or all where fewer wrote of the unit, belong to each of its exemplars.
    """
    builder, wanted = CorpusBuilder("milannotations"), check_folds(folds)
    pictures = _pictures(photos)
    for layer in layers or list_annotated_layers(paths):
        exemplars = read_annotated_exemplars(paths, layer)
        chosen = [
            place
            for place, unit in enumerate(exemplars.unit_ids)
            if exemplars.annotations[place] and split_of(f"{layer}:{unit}") in wanted
        ]
        for place in chosen[:units_per_layer]:
            _add(builder, exemplars, place, pictures, k=k, min_people=min_people)
    return builder.corpus()


def _pictures(photos: str | None) -> ImageSource | None:
    if photos is None:
        return None
    from describer.data.images import load_images

    pictures: ImageSource = load_images(photos)
    return pictures


def _add(
    builder: CorpusBuilder,
    exemplars: AnnotatedExemplars,
    place: int,
    pictures: ImageSource | None,
    *,
    k: int | None,
    min_people: int,
) -> None:
    sentences = exemplars.annotations[place]
    phrases, regions = shared_phrases(sentences, min(min_people, len(sentences))), []
    for rank in range(exemplars.masks.shape[1])[:k]:
        mask = np.asarray(exemplars.masks[place, rank, 0])
        if mask.any():
            image = builder.add_image(_picture(exemplars, place, rank, pictures))
            regions.append(builder.add_region(image, coverage(mask > 0), (), phrases))
    if regions:
        builder.add_set(regions, sentences)


def _picture(exemplars: AnnotatedExemplars, place: int, rank: int, pictures: ImageSource | None) -> Image.Image:
    if exemplars.images is not None:
        return Image.fromarray(np.ascontiguousarray(exemplars.images[place, rank].transpose(1, 2, 0)))
    if pictures is None or exemplars.ids is None:
        raise ImagesError(
            f"Layer {exemplars.layer} must have images.npy, or ids.csv and `photos`. Got neither. Do name the photos."
        )
    return pictures.image(int(exemplars.ids[place, rank]))
