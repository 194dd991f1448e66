"""Methods on a real network: scores against plain loops, baselines, and the verb from end to end with small weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from describer.eval.planted import __main__ as program
from describer.eval.planted.hearing import CaptionerListener
from describer.eval.planted.versus import beaten, compare, scores, with_baselines
from describer.listener import ListenerLike
from describer.responses import Responses
from tests.describer.captioners import small_captioner
from tests.describer.colours import COLOURS, ColourListener, Plain
from tests.describer.dualencoders import pictures, small_listener
from tests.search.test_dissect import NET

IMAGES = [1, 2, 3, 5, 6, 8, 11, 13, 17, 19, 22]


def responses(n_units: int = 3) -> Responses:
    """Unit u fires on colour u of COLOURS."""
    plain, colours = Plain(), torch.tensor(list(COLOURS.values())).float()
    shown = torch.stack([torch.tensor(np.asarray(plain.image(i))).float().mean((0, 1)) for i in IMAGES])
    peaks = -torch.cdist(colours[:n_units], shown)
    rows = torch.arange(n_units), torch.tensor(IMAGES), peaks, peaks / 2
    return Responses("body", *rows, torch.zeros(0, len(IMAGES)), torch.zeros(0, len(IMAGES)))


def slow_pearson(x: list[float], y: list[float]) -> float:
    mx, my = sum(x) / len(x), sum(y) / len(y)
    top = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return top / (sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y)) ** 0.5


def test_scores_are_those_of_plain_loops() -> None:
    judge, found, plain = ColourListener(), responses(), Plain()
    seen = judge.embed_images([plain.image(i) for i in IMAGES])
    texts = ["red", None, "blue red"]
    told = scores(texts, found.peaks.double().numpy(), judge, seen)
    for unit, text in enumerate(texts):
        if text is None:
            assert told[unit] == 0
            continue
        simulated = judge.simulate(judge.embed_texts([text]), seen)[0].tolist()
        assert told[unit] == pytest.approx(slow_pearson(simulated, found.peaks[unit].tolist()), abs=1e-6)
    assert scores([None] * 3, found.peaks.double().numpy(), judge, seen).tolist() == [0, 0, 0]


def test_the_right_words_beat_the_others() -> None:
    told = with_baselines({"caption": ["red", "green", "blue"], "concept": ["red", "red", None]}, seed=1)
    assert list(told) == ["caption", "concept", "caption, shuffled", "constant"]
    assert sorted(text or "" for text in told["caption, shuffled"]) == ["blue", "green", "red"]
    assert len(set(told["constant"])) == 1
    rows = compare(told, responses(), Plain(), ColourListener())
    by_method = {row["method"]: row for row in rows}
    values = {method: row["score"]["value"] for method, row in by_method.items()}
    assert values["caption"] > max(values["concept"], values["constant"], values["caption, shuffled"])
    assert by_method["concept"]["described"] == 2 and by_method["concept"]["distinct"] == 1
    for row in rows:
        assert row["first_less_this"]["value"] == pytest.approx(values["caption"] - row["score"]["value"])
    assert beaten(rows)["caption, shuffled"] and set(beaten(rows)) == set(told) - {"caption"}


def test_the_captioner_is_a_listener() -> None:
    listener = CaptionerListener(small_captioner())
    assert isinstance(listener, ListenerLike)
    seen, heard = listener.embed_images(pictures(3)), listener.embed_texts(["dogs", "red cars"])
    assert torch.allclose(seen.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(heard.norm(dim=1), torch.ones(2), atol=1e-5)
    alone = torch.cat([listener.embed_images([each]) for each in pictures(3)])
    assert torch.allclose(seen, alone, atol=1e-4)
    simulated = listener.simulate(heard, seen)
    assert simulated.shape == (2, 3) and bool(((simulated > 0) & (simulated < 1)).all())


@pytest.mark.slow
def test_the_verb_compares_methods_and_says_who_heard(tmp_path: Path, capsys, monkeypatch) -> None:
    net, captioner, judge = tmp_path / "net.py", tmp_path / "captioner", tmp_path / "listener"
    net.write_text(NET)
    small_captioner().save_pretrained(captioner)
    small_listener().save_pretrained(judge)
    options = ["real", f"{net}:load", "scenes:41:3", "--layer", "body", "--captioner", captioner, "--judge", judge]
    options += ["--methods", "caption,clip,concept", "--listener", "captioner", "--concepts", "scenes:5:5"]
    options += ["--units", "0-2"]
    monkeypatch.setattr("sys.argv", ["planted", *map(str, options), "--atlas", str(tmp_path / "atlas"), "--json"])
    with pytest.raises(SystemExit) as done:
        program.main()
    assert not done.value.code
    about, *rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert about["judge"] == "listener" and about["clip_hears_by"] == "captioner" and about["images"] == 20
    assert [row["method"] for row in rows] == ["caption", "clip", "concept", "caption, shuffled", "constant"]
    assert all(row["units"] == 3 for row in rows)
