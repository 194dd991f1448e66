"""Copy-paste edits of pictures: the region of a concept from another picture, at its own place.

    paster = Paster(target, concepts, subject)
    proposals = propose(subject, found, can_edit=paster.can_edit)
    trials = [trial for proposal in proposals for trial in paster.tries(proposal, n_inputs=20)]

The region is where leaf and form hold in a donor, one of those that drive the unit most and are not said to be of the
class. The random edit lays the same shape at the same place on the same picture, filled from a picture without the leaf
that is not said to be of the class either. Pictures are told right (where the truth is known), not as the class, the
unit is silent on them, and those nearest to the class come first. Mu & Andreas (2020, section 7) made such pictures by
hand; there is no published code that finds them.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from describer.data.concepts import ConceptSet
from describer.data.targets import Target
from describer.errors import ImagesError
from describer.eval.experiments.proposals import Leaf, Proposal
from describer.eval.experiments.subject import Subject, Watch
from describer.eval.experiments.trials import Trial, Tried
from describer.frame import InputFrame
from describer.search.dissect import grid_of
from describer.search.sampled import SampledLabels

SMALLEST, LARGEST = 0.02, 0.5
"Share of a picture that a region may be."
N_DONORS = 8
"Pictures from which regions of one proposal are taken, those that drive the unit most."
BATCH = 16


class Paster:
    """Pastes regions of concepts between the pictures that a subject was laid over."""

    def __init__(self, target: Target, concepts: ConceptSet, subject: Subject, seed: int = 0) -> None:
        self.target, self.concepts, self.subject, self.seed = target, concepts, subject, seed
        kept = subject.laid.kept
        if len(subject.predicted) != len(concepts):
            raise ImagesError("pictures to edit must be those of the concepts. Got labelled others. Leave these out.")
        grid = grid_of(target, int(subject.laid.about["size"]))
        self.table = subject.laid.table.with_source(SampledLabels(concepts, InputFrame(target.preprocess), grid, kept))
        self.kept = np.array(kept)
        self.counts = subject.laid.images()
        self.logits = torch.from_numpy(subject.logits[self.kept])
        self.said, self.truth = self.logits.argmax(1).numpy(), subject.truth[self.kept]
        self.fires = subject.fires[self.kept]
        self.threshold = subject.laid.layer(subject.layer).exemplars.threshold

    def shares(self, leaf: Leaf) -> Float[np.ndarray, " pictures"]:
        """Share of every picture's cells that carry a leaf."""
        return self.counts.counts @ self.table.mask(leaf).astype(np.int64) / np.maximum(self.counts.areas, 1)

    def can_edit(self, leaf: Leaf, wanted: bool) -> bool:
        """Whether three pictures or more have a region of the concept that can be cut out."""
        share = self.shares(leaf)
        return wanted and int(((share >= SMALLEST) & (share <= LARGEST)).sum()) >= 3

    def tries(self, proposal: Proposal, n_inputs: int = 20) -> list[Trial]:
        """Trials of one proposal on at most `n_inputs` pictures; fewer where there are no more."""
        rng = np.random.default_rng((self.seed, proposal.class_index, proposal.unit))
        donors = self._donors(proposal)
        other = self.said != proposal.class_index
        bare = np.flatnonzero(other & (self.shares(proposal.leaf) == 0))
        right = (self.truth < 0) | (self.truth == self.said)
        fit = np.flatnonzero(other & right & ~self.fires[:, proposal.unit])
        near = log_odds(self.logits, proposal.class_index).numpy()
        inputs = fit[np.argsort(-near[fit], kind="stable")][:n_inputs]
        if not donors or len(bare) < 2:
            return []
        plans = []
        for index in inputs.tolist():
            donor, mask = donors[int(rng.integers(len(donors)))]
            filler = int(rng.choice(bare[bare != index]))
            if donor != index:
                plans.append((index, donor, filler, mask))
        return [
            trial for start in range(0, len(plans), BATCH) for trial in self._tried(proposal, plans[start:][:BATCH])
        ]

    def _donors(self, proposal: Proposal) -> list[tuple[int, Bool[np.ndarray, "h w"]]]:
        """Pictures that drive the unit, with the region that is cut out of each."""
        share = self.shares(proposal.leaf)
        fit = (share >= SMALLEST) & (self.said != proposal.class_index) & self.fires[:, proposal.unit]
        found = []
        order = sorted(np.flatnonzero(fit).tolist(), key=lambda i: -share[i] * (share[i] <= LARGEST))
        for index in order[: 4 * N_DONORS]:  # to read the labels of a picture takes longest
            mask = self.table.image_mask(proposal.leaf & proposal.formula, index)
            if SMALLEST <= mask.mean() <= LARGEST:
                found.append((index, mask))
            if len(found) == N_DONORS:
                break
        return found

    def _input(self, index: int) -> Float[Tensor, "channels height width"]:
        assert self.target.preprocess is not None
        return self.target.preprocess(self.concepts.images.image(int(self.kept[index])))

    @torch.inference_mode()
    def _tried(self, proposal: Proposal, plans: list[tuple[int, int, int, Bool[np.ndarray, "h w"]]]) -> list[Trial]:
        before = torch.stack([self._input(index) for index, *_ in plans])
        masks = torch.stack([enlarged(mask, (before.shape[2], before.shape[3])) for *_, mask in plans])
        edited = pasted(before, torch.stack([self._input(donor) for _, donor, *_ in plans]), masks)
        random = pasted(before, torch.stack([self._input(filler) for _, _, filler, _ in plans]), masks)
        with Watch(self.target, self.subject.layer) as watch:
            seen = [watch(batch) for batch in (before, edited, random)]
        odds = [log_odds(logits, proposal.class_index) for logits, _ in seen]
        said, threshold = seen[0][0].argmax(1).tolist(), self.threshold[proposal.unit]
        tried = [
            [
                Tried(
                    said[row] != proposal.class_index == int(logits[row].argmax()),
                    float(odds[way][row] - odds[0][row]),
                    bool(maps[row, proposal.unit].max() > threshold),
                )
                for row in range(len(plans))
            ]
            for way, (logits, maps) in enumerate(seen)
            if way
        ]
        name = self.subject.class_names[proposal.class_index]
        return [
            Trial(
                proposal,
                int(self.kept[index]),
                float(mask.mean()),
                f"{proposal.leaf} of picture {self.kept[donor]} pasted into picture {self.kept[index]}, for {name}",
                *(way[row] for way in tried),
            )
            for row, (index, donor, _, mask) in enumerate(plans)
        ]


def pasted(
    pictures: Float[Tensor, "batch channels h w"],
    donors: Float[Tensor, "batch channels h w"],
    masks: Bool[Tensor, "batch h w"],
) -> Float[Tensor, "batch channels h w"]:
    """The donors' pixels under the masks, the pictures' elsewhere."""
    return torch.where(masks[:, None], donors, pictures)


def enlarged(mask: Bool[np.ndarray, "_ _"], size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    """The mask at another resolution, by the nearest cell."""
    return F.interpolate(torch.from_numpy(mask)[None, None].float(), size, mode="nearest-exact")[0, 0] > 0.5


def log_odds(logits: Float[Tensor, "batch classes"], class_index: int) -> Float[Tensor, " batch"]:
    """log p(class) - log(1 - p(class)) in nats."""
    others = torch.cat((logits[:, :class_index], logits[:, class_index + 1 :]), 1)
    return logits[:, class_index] - others.logsumexp(1)
