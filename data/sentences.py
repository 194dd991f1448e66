"""Pairs of sentences: premise, hypothesis and, where known, the gold label.

    pairs = load_sentences("pairs.jsonl")                 # also .csv, .tsv, .txt (with tabs), .parquet, hf:NAME:SPLIT
    pairs = load_sentences("cad/train.tsv,sick/train.txt")  # several files, one after another
    pairs = load_sentences("snli_1.0_dev.tok")            # two lines a pair; labels from a *snli_1.0_dev.csv beside it
    pairs.premises[7], pairs.hypotheses[7], pairs.labels[7]   # the label is None where annotators did not agree

Columns are found by name: premise, sentence1, sentence_A or text; hypothesis, sentence2, sentence_B or text_pair;
label, gold_label, entailment_judgment or gt. Labels are words in lower case.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from describer.errors import ImagesError

PREMISE = ("premise", "sentence1", "sentence_a", "text")
HYPOTHESIS = ("hypothesis", "sentence2", "sentence_b", "text_pair")
LABEL = ("label", "gold_label", "entailment_judgment", "gt")
NO_LABEL = ("", "-", "-1", "unk", "none", "null")
"What stands for a label on which annotators did not agree."


@dataclass(frozen=True, eq=False)
class SentencePairs:
    """Pairs of sentences in a fixed order; an index means the same pair as long as `fingerprint` is the same."""

    source: str
    "where they came from, as given"
    premises: tuple[str, ...]
    hypotheses: tuple[str, ...]
    labels: tuple[str | None, ...]
    "gold labels in lower case; None where there is none"

    def __len__(self) -> int:
        return len(self.premises)

    def subset(self, indices: Sequence[int]) -> "SentencePairs":
        """The pairs at these indices, in this order."""
        premises, hypotheses = (tuple(side[i] for i in indices) for side in (self.premises, self.hypotheses))
        return SentencePairs(self.source, premises, hypotheses, tuple(self.labels[i] for i in indices))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over all sentences and labels."""
        digest = hashlib.sha256()
        for row in zip(self.premises, self.hypotheses, self.labels, strict=True):
            digest.update("\0".join(map(str, row)).encode() + b"\n")
        return digest.hexdigest()


def load_sentences(source: str | Path) -> SentencePairs:
    """The pairs behind `source`; ImagesError where nothing can be read, or a column is missing."""
    source = str(source)
    if source.startswith("hf:"):
        tables = [_from_hub(source)]
    else:
        tables = [_read(Path(path.strip())) for path in source.split(",")]
    columns = [_columns(source, table) for table in tables]
    premises, hypotheses, labels = (
        tuple(value for part in column for value in part) for column in zip(*columns, strict=True)
    )
    if not premises:
        raise ImagesError(f"{source} must hold at least one pair. Got none. Check the file.")
    return SentencePairs(source, premises, hypotheses, labels)


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise ImagesError(f"Sentences must lie in a file. Got {path}, which does not exist. Correct the path.")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ImagesError(f"Sentences must be one of {', '.join(_READERS)}. Got {path}. Convert them.")
    try:
        return reader(path)
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as fault:
        message = str(fault).splitlines()[0]
        raise ImagesError(f"{path} must be readable {path.suffix}. Got: {message}. Mend the file.") from fault


def _delimited(mark: str) -> Any:
    def read(path: Path) -> pa.Table:
        lines = pa.csv.ParseOptions(delimiter=mark, newlines_in_values=True)
        text = pa.csv.ConvertOptions(strings_can_be_null=False, null_values=[])
        return pa.csv.read_csv(path, parse_options=lines, convert_options=text)

    return read


def _tokens(path: Path) -> pa.Table:
    """Premise and hypothesis on alternate lines; labels from the one CSV beside it whose name ends alike."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) % 2:
        raise ImagesError(f"{path} must have two lines a pair. Got {len(lines)} lines. Mend the file.")
    columns: dict[str, Any] = {"premise": lines[::2], "hypothesis": lines[1::2]}
    for beside in sorted(path.parent.glob(f"*{path.stem}.csv")):
        labels = _delimited(",")(beside)
        if "gt" in labels.column_names and len(labels) == len(lines) // 2:
            columns["gt"] = labels["gt"]
    return pa.table(columns)


_READERS: dict[str, Any] = {
    ".jsonl": pa.json.read_json,
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".txt": _delimited("\t"),
    ".parquet": pq.read_table,
    ".tok": _tokens,
}


def _from_hub(source: str) -> pa.Table:
    from datasets import load_dataset

    _, _, rest = source.partition(":")
    name, _, split = rest.rpartition(":")
    try:
        found = load_dataset(name or split, split=split if name else "train")
    except Exception as fault:
        message = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise ImagesError(f"{source} must be hf:NAME:SPLIT of the hub. Got: {message}. Check the name.") from fault
    label = next((c for c in found.column_names if c.lower() in LABEL), None)
    names = getattr(found.features[label], "names", None) if label else None
    table = pa.table({column: found[column][:] for column in found.column_names})
    if names and label:
        told = [names[value] if value is not None and value >= 0 else "" for value in found[label]]
        table = table.set_column(table.column_names.index(label), label, pa.array(told))
    return table


def _columns(source: str, table: pa.Table) -> tuple[list[str], list[str], list[str | None]]:
    by_name = {name.strip().lower(): name for name in table.column_names}

    def column(names: Sequence[str]) -> str | None:
        return next((by_name[name] for name in names if name in by_name), None)

    premise, hypothesis, label = column(PREMISE), column(HYPOTHESIS), column(LABEL)
    if premise is None or hypothesis is None:
        wanted = "a premise (or sentence1) and a hypothesis (or sentence2) column"
        raise ImagesError(f"{source} must have {wanted}. Got {', '.join(table.column_names)}. Rename them.")
    said = [[str(value or "").strip() for value in table[name].to_pylist()] for name in (premise, hypothesis)]
    empty = next((row for row, pair in enumerate(zip(*said, strict=True)) if not all(pair)), None)
    if empty is not None:
        raise ImagesError(f"every pair of {source} must have two sentences. Got an empty one in row {empty}. Fill it.")
    given = [str(v).strip().lower() for v in table[label].to_pylist()] if label else [""] * len(table)
    return said[0], said[1], [None if value in NO_LABEL else value for value in given]
