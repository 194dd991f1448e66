"""The training sources, one file each, by name; a recipe lists them with their paths.

corpus = load_corpus([{"source": "captions", "paths": "flickr8k"}, {"source": "textures", "paths": "textures"}],
                     folds=range(6), cache_dir="build/corpus")

The cache's key holds everything that changes the answer: the files' bytes, the options, the folds, the code that reads
them and the word lists.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from describer.errors import RecipeError
from describer.training.corpus import FORMAT_VERSION, Corpus, check_folds, concat
from describer.training.sources.texts import UnitTexts as UnitTexts
from describer.training.sources.texts import read_texts as read_texts
from describer.training.sources.texts import read_unit_texts as read_unit_texts

SOURCES = {
    "captions": "captions:read_captions",
    "textures": "textures:read_textures",
    "regions": "regions:read_regions",
    "clothing": "regions:read_clothing",
    "segments": "regions:read_segments",
    "names": "names:read_names",
    "classes": "names:read_classes",
    "computed": "computed:read_computed",
    "tangrams": "tangrams:read_tangrams",
    "milannotations": "annotations:read_annotations",
    "scenes": "scenes:read_scenes",
}
"name in a recipe → module:function; every function takes `folds` and gives a Corpus"
CODE = Path(__file__).parent


def load_corpus(
    specs: Sequence[Mapping[str, Any]], folds: Collection[int], cache_dir: str | Path | None = None
) -> Corpus:
    """One Corpus of all the sources of a recipe; each source is read once and then comes from the cache."""
    return concat([load_source(spec, folds, cache_dir) for spec in specs])


def load_source(spec: Mapping[str, Any], folds: Collection[int], cache_dir: str | Path | None = None) -> Corpus:
    """The Corpus of one source: `spec` holds its name as "source" and the arguments of its function."""
    read, options = source_function(spec), {key: value for key, value in spec.items() if key != "source"}
    wanted = sorted(check_folds(folds))
    if cache_dir is None:
        return read(folds=wanted, **options)
    place = Path(cache_dir) / f"{spec['source']}-{cache_key(spec, wanted)[:20]}"
    if place.with_name(place.name + ".json").exists():
        return Corpus.load(place)
    corpus = read(folds=wanted, **options)
    corpus.save(place)
    return corpus


def source_function(spec: Mapping[str, Any]) -> Callable[..., Corpus]:
    """The function of a source; RecipeError for an unknown name or argument."""
    name = spec.get("source")
    if name not in SOURCES:
        raise RecipeError(f"source must be one of {', '.join(SOURCES)}. Got {name!r}. Do correct the recipe.")
    module, function = SOURCES[str(name)].split(":")
    read: Callable[..., Corpus] = getattr(import_module(f"{__name__}.{module}"), function)
    try:
        inspect.signature(read).bind(folds=(), **{key: value for key, value in spec.items() if key != "source"})
    except TypeError as fault:
        raise RecipeError(f"The source {name} must have the arguments of {function}. Got {fault}.") from fault
    return read


def cache_key(spec: Mapping[str, Any], folds: Sequence[int]) -> str:
    """sha256 over options, folds, the bytes of every file that the options name, our code and the tagger's version."""
    try:
        tagger = metadata.version("HanTa")
    except metadata.PackageNotFoundError:
        tagger = "none"
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, tagger, dict(spec), list(folds)], default=str).encode())
    for file in [*_named_files(spec), *_code(str(spec["source"]))]:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _code(source: str) -> list[Path]:
    """Our files on which what a source gives depends."""
    training = CODE.parent
    files = [
        *CODE.glob("*.py"),
        *CODE.glob("*.yaml"),
        *(training / n for n in ("corpus.py", "phrases.py")),
    ]
    data = Path(import_module("describer.data").__path__[0])
    files += [data / "nouns.py", data / "words.yaml"]
    files += data.glob("scenes/*.py") if source == "scenes" else []
    files += [data / "milannotations.py"] if source == "milannotations" else []
    return sorted(files)


def _named_files(spec: Mapping[str, Any]) -> list[Path]:
    """Every file that a value of the spec names: itself, what lies in the folder, what the glob matches."""
    files: list[Path] = []
    values = [entry for value in spec.values() for entry in (value if isinstance(value, list | tuple) else [value])]
    for value in values:
        if not isinstance(value, str | Path):
            continue
        path = Path(value)
        if path.is_dir():
            files += sorted(entry for entry in path.rglob("*") if entry.is_file())
        elif path.is_file():
            files.append(path)
        elif any(mark in str(value) for mark in "*?["):
            root = Path(path.anchor) if path.is_absolute() else Path()
            files += sorted(root.glob(str(path.relative_to(path.anchor) if path.is_absolute() else path)))
    return files
