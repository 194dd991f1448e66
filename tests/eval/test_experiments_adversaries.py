"""Proposals, edits and outcomes: planted subjects in which the right edit must flip and random ones must not."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from describer.data.concepts import ConceptSet, ImageLabels
from describer.data.images import ImageSet
from describer.data.sentences import SentencePairs
from describer.data.tagging import tagged
from describer.data.targets import Target
from describer.data.text_targets import TextTarget
from describer.errors import ImagesError
from describer.eval.experiments.adversaries import find, said_classes, strongest_units
from describer.eval.experiments.pasting import Paster, enlarged, log_odds, pasted
from describer.eval.experiments.proposals import Proposal, literals, propose
from describer.eval.experiments.subject import FewerConcepts, Watch, text_subject, vision_subject
from describer.eval.experiments.trials import Trial, Tried, by_proposal, judge
from describer.eval.experiments.wording import WordEditor, true_of
from describer.search.dissect import DissectSettings
from describer.search.forms import Concept, Neighbors, parse
from describer.search.sentences import SentenceSettings

# Language: unit 0 fires on "nobody" in the hypothesis, unit 1 on "here" in the premise, unit 2 where neither is

PREMISES = ("a man runs here", "two dogs sleep", "the puppy sings here", "a girl runs", "some men sing")
HYPOTHESES = ("a man sings", "nobody runs", "the dog sleeps", "a puppy runs", "nobody sings", "men sleep", "a cat eats")


class Rules(nn.Module):
    """Three rules, and three classes that each read one of them."""

    def __init__(self):
        super().__init__()
        self.units = nn.ReLU()
        self.classes = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.classes.weight.copy_(torch.tensor([[9.0, -1.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]))

    def forward(self, x):
        """Logits."""
        return self.classes(self.units(x))


def encode(premises, hypotheses):
    rows = []
    for p, h in zip(premises, hypotheses, strict=True):
        held = "nobody" in h.split(), "here" in p.split()
        rows.append([1.0 if x else -1.0 for x in (*held, not any(held))])
    return torch.tensor(rows)


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    premises, hypotheses = zip(*itertools.product(PREMISES, HYPOTHESES), strict=True)
    labels = [("nobody", "here", "neither")[int(row.argmax())] for row in Rules()(encode(premises, hypotheses))]
    pairs = SentencePairs("test", premises, hypotheses, tuple(labels))
    target = TextTarget("rules", Rules().eval().requires_grad_(False), encode, ("nobody", "here", "neither"), "f" * 64)
    settings = SentenceSettings(min_pairs=1, n_shifts=0, k=3)
    return target, pairs, text_subject(target, pairs, tmp_path_factory.mktemp("laid"), None, settings)


def test_a_text_subject_knows_its_rules(language):
    _, pairs, subject = language
    assert subject.layer == "units" and subject.rows.tolist() == [0, 1, 2]
    assert (subject.predicted == subject.truth).all()
    assert str(subject.forms(1)[0].formula) == "hyp:tok:nobody"
    assert subject.fires[:, 0].tolist() == ["nobody" in h for h in pairs.hypotheses]
    assert subject.sampled(2).rows.tolist() == subject.sampled(2).rows.tolist() != [0, 1, 2]
    assert subject.sampled(7) is subject


def test_the_proposed_word_flips_and_a_random_one_does_not(language):
    target, pairs, subject = language
    editor = WordEditor(target, pairs, subject)
    trials = find(subject, editor, length=2, n_units=1, n_inputs=9)
    outcome = judge(trials)
    flips = {subject.class_names[p.class_index]: (n, flipped, random) for p, n, flipped, random in by_proposal(trials)}
    assert flips["nobody"] == (9, 1.0, 0.0), "the word is put into the hypothesis, and the class is said"
    assert outcome.flipped.value > outcome.random_flipped.value
    assert outcome.proposals == len(flips)
    assert all(trial.proposed.fired for trial in trials if trial.proposal.unit == 0)
    assert not any(trial.random.flipped for trial in trials if trial.proposal.unit == 0)
    first = next(trial for trial in trials if trial.proposal.unit == 0)
    assert first.told.startswith("'nobody' put into the hypothesis of pair ")
    here = 1.0 if "here" in pairs.premises[first.index].split() else -1.0
    after, before = target.model(torch.tensor([[1.0, here, -1.0]])), torch.tensor(subject.logits[[first.index]])
    assert first.proposed.gained == pytest.approx(float(log_odds(after, 0) - log_odds(before, 0)), abs=1e-5)


def test_words_under_not_are_taken_out(language):
    target, pairs, subject = language
    editor = WordEditor(target, pairs, subject)
    form = parse("NOT hyp:tok:nobody AND NOT pre:tok:here")
    proposal = Proposal(2, 2, 4.0, form, Concept("pre:tok:here"), False, 1.0)
    trials = editor.tries(proposal, 50)
    n_fit = sum("here" in p and "nobody" not in h for p, h in zip(pairs.premises, pairs.hypotheses, strict=True))
    assert len(trials) == n_fit
    assert all(trial.proposed.flipped and trial.proposed.fired and not trial.random.flipped for trial in trials)


def test_overlap_cannot_be_edited(language):
    editor = WordEditor(*language)
    assert not editor.can_edit(Concept("oth:overlap:overlap50"), True)
    assert editor.can_edit(Concept("hyp:tag:NN1"), True) and not editor.can_edit(Concept("hyp:tag:NN1"), False)


def test_forms_are_true_of_words_as_of_the_table(language):
    _, pairs, subject = language
    table = subject.laid.table
    form = parse("hyp:tok:nobody OR pre:lem:man AND NOT oth:overlap:overlap0 OR hyp:tag:NN2")
    sides = [(tagged(p), tagged(h)) for p, h in zip(pairs.premises, pairs.hypotheses, strict=True)]
    held = [true_of(form, side, {}) for side in sides]
    assert sum(held) == table.area(form) > 0
    near = {"hyp:tok:dog": ("hyp:tok:dog", "hyp:tok:puppy")}
    leaf = Neighbors("hyp:tok:dog")
    assert [true_of(leaf, side, near) for side in sides] == [
        bool({"dog", "puppy"} & set(h.split())) for h in pairs.hypotheses
    ]


# Vision: pictures 8 x 8 of which quarters are red, green or blue; the unit of a colour is its amount

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "grey": (90, 90, 90)}


class Quarters(ImageSet):
    """Every picture of four quarters out of four colours."""

    source = "quarters"

    def __init__(self):
        every = list(itertools.product(range(4), repeat=4))
        self.kinds = random.Random(0).sample(every, 113)

    def __len__(self):
        return len(self.kinds)

    def ids(self, index):
        """The colour of every pixel, from 1."""
        return np.kron(np.array(self.kinds[index]).reshape(2, 2), np.ones((4, 4), int)).astype(np.int32) + 1

    def image(self, index):
        table = np.array([(0, 0, 0), *COLORS.values()], np.uint8)
        return Image.fromarray(table[self.ids(index)])

    def _digest(self):
        return "quarters"


class QuarterColors(ConceptSet):
    """Their colours, and whether the picture is of an even number."""

    def __init__(self):
        self.images, self.source = Quarters(), "quarters"
        self.names = {"color": ("", *COLORS), "parity": ("", "odd", "even")}

    def _read(self, index):
        return ImageLabels({"color": (self.images.ids(index),)}, {"parity": (1 + index % 2,)})

    def _digest(self):
        return "colors"


class Amounts(nn.Module):
    """Units: how red, green, blue each place is; a class each reads the mean of one."""

    def __init__(self):
        super().__init__()
        self.units = nn.Conv2d(3, 3, 1)
        self.classes = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.units.weight.copy_(1.5 * torch.eye(3)[:, :, None, None] - 0.5)
            self.units.bias.zero_()
            self.classes.weight.copy_(torch.eye(3) * 8)

    def forward(self, x):
        """Logits."""
        return self.classes(self.units(x).relu_().mean((2, 3)))


def preprocess(image):
    return torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1).copy() / 255)


@pytest.fixture(scope="module")
def vision(tmp_path_factory):
    target = Target("amounts", Amounts().eval().requires_grad_(False), preprocess, ["red", "green", "blue"], (3, 8, 8),
                    "f" * 64, False)  # fmt: skip
    concepts = FewerConcepts(QuarterColors(), ["parity"])
    truth = np.full(len(concepts), -1)
    settings = DissectSettings(quantile=0.7, size=8, n_shifts=0, k=3)
    folder = tmp_path_factory.mktemp("laid")
    return target, concepts, vision_subject(target, concepts, concepts.images, truth, "units", folder, settings)


def test_the_pasted_colour_flips_more_often_than_a_random_patch(vision):
    target, concepts, subject = vision
    assert list(concepts.names) == ["color"]
    assert [str(each.formula) for each in subject.forms(1)] == ["red", "green", "blue"]
    paster = Paster(target, concepts, subject)
    trials = find(subject, paster, length=1, n_units=1, n_inputs=11)
    outcome = judge(trials)
    assert outcome.flipped.value > outcome.random_flipped.value
    assert outcome.fired.value == 1.0, "the colour is in the picture now"
    assert outcome.random_fired.value < 1.0
    assert {trial.proposal.leaf.name for trial in trials} <= {"red", "green", "blue"}
    assert all(0.02 <= trial.size <= 0.5 for trial in trials)
    assert all(subject.predicted[trial.index] != trial.proposal.class_index for trial in trials)


def test_a_trial_is_what_pasting_by_hand_gives(vision):
    target, concepts, subject = vision
    paster = Paster(target, concepts, subject)
    (proposal,) = propose(subject, subject.forms(1), 1, classes=[2])
    for trial in paster.tries(proposal, 5):
        donor = int(trial.told.split(" of picture ")[1].split()[0])
        here, there = (np.asarray(concepts.images.image(i)).copy() for i in (trial.index, donor))
        for y, x in itertools.product(range(8), range(8)):
            if concepts.images.ids(donor)[y, x] == 3:
                here[y, x] = there[y, x]
        logits = target.model(preprocess(Image.fromarray(here))[None])
        assert (int(logits.argmax()) == 2) == trial.proposed.flipped
        before = torch.from_numpy(subject.logits[trial.index])[None]
        assert float(log_odds(logits, 2) - log_odds(before, 2)) == pytest.approx(trial.proposed.gained, abs=1e-5)


def test_what_units_gave_is_kept_before_what_works_in_place(vision):
    target, x = vision[0], torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with Watch(target, "units") as watch:
        logits, maps = watch(x)
    assert torch.equal(maps, target.model.units(x)) and (maps < 0).any()
    torch.testing.assert_close(logits, target.model(x))


def test_pictures_must_be_those_of_the_concepts(vision):
    target, concepts, subject = vision
    from dataclasses import replace

    with pytest.raises(ImagesError, match="those of the concepts"):
        few = {"logits": subject.logits[:5], "truth": subject.truth[:5], "fires": subject.fires[:5]}
        Paster(target, concepts, replace(subject, **few))
    with pytest.raises(ImagesError, match="leave out"):
        FewerConcepts(concepts, ["taste"])


# Proposals and outcomes


def test_literals_know_whether_they_are_wanted():
    told = [(str(leaf), wanted) for leaf, wanted in literals(parse("a AND NOT b AND (c OR NOT NEIGHBORS(d))"))]
    assert sorted(told) == [("NEIGHBORS(d)", False), ("a", True), ("b", False), ("c", True)]


def test_proposals_are_those_of_plain_loops(vision):
    _, _, subject = vision
    found = subject.forms(2)
    for proposal in propose(subject, found, n_units=2, least_iou=0.1):
        weights = subject.weights.numpy()[proposal.class_index]
        good = [u for u in range(3) if weights[u] > 0 and found[u].iou >= 0.1]
        assert proposal.unit in sorted(good, key=lambda u: -weights[u])[:2]
        assert (proposal.leaf, True) in literals(found[proposal.unit].formula)
    assert said_classes(subject) == [0, 1, 2]
    assert strongest_units(subject, [1], 1).rows.tolist() == [1]


def trial(group, proposed, random):
    """A trial of the proposal of that number."""
    proposal = Proposal(group, group, 1.0, Concept("a"), Concept("a"), True, 0.5)
    return Trial(proposal, 0, 1.0, "", Tried(proposed, 1.0, proposed), Tried(random, 0.25, random))


def test_outcomes_are_shares_over_all_trials():
    trials = [trial(0, True, False), trial(0, True, True), trial(1, False, False), trial(2, True, False)]
    outcome = judge(trials)
    assert (outcome.proposals, outcome.trials) == (3, 4)
    assert outcome.flipped.value == 0.75 and outcome.random_flipped.value == 0.25
    assert outcome.difference.value == 0.5 and outcome.difference.low <= 0.5 <= outcome.difference.high
    assert outcome.gained.value == 1.0 and outcome.random_gained.value == 0.25
    assert outcome.fired_flipped.value == 1.0, "in the test a unit fires where the edit flips"
    assert outcome.fired_random_flipped.value == pytest.approx(1 / 3)
    assert [(p.unit, n, a, b) for p, n, a, b in by_proposal(trials)] == [(0, 2, 1.0, 0.5), (2, 1, 1.0, 0.0),
                                                                        (1, 1, 0.0, 0.0)]  # fmt: skip


def test_pasting_takes_the_donor_under_the_mask_only():
    rng = torch.Generator().manual_seed(0)
    here, there = torch.rand(2, 3, 5, 7, generator=rng), torch.rand(2, 3, 5, 7, generator=rng)
    masks = torch.rand(2, 5, 7, generator=rng) < 0.5
    found = pasted(here, there, masks)
    for b, c, y, x in itertools.product(range(2), range(3), range(5), range(7)):
        assert found[b, c, y, x] == (there if masks[b, y, x] else here)[b, c, y, x]


def test_masks_grow_by_the_nearest_cell():
    mask = np.array([[True, False], [False, True]])
    assert enlarged(mask, (4, 6)).tolist() == np.kron(mask, np.ones((2, 3), bool)).tolist()


def test_log_odds_are_those_of_the_softmax():
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 5.0]])
    p = logits.softmax(1)[:, 1]
    torch.testing.assert_close(log_odds(logits, 1), (p / (1 - p)).log())


def test_every_experiment_has_a_command_for_both():
    from typer.testing import CliRunner

    from describer.eval.experiments import accuracy, adversaries, weights

    for module in (accuracy, adversaries, weights):
        for command in ("vision", "text"):
            done = CliRunner().invoke(module.app, [command, "--help"])
            assert done.exit_code == 0 and "Example" in done.stdout
    assert Path(accuracy.__file__).parent.name == "experiments"
