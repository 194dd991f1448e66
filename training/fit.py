"""One way to train everything: the Hugging Face Trainer on Accelerate, by steps, resumable, seeded, the best kept.

    fit(model, lessons, out="runs/x", steps=2400, learning_rate=1e-3, seed=0)

``lessons(indices)`` makes the batch of a step from its indices alone, so a resumed training sees what an unbroken one
would have seen. ``model(**batch)`` answers with a dict that holds ``loss``; its other entries are logged.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from describer.training.precision import bfloat16_pays


class Indices(Dataset):
    """The numbers 0 .. n-1, one a step."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self.n:
            raise IndexError(index)
        return index


class StepTrainer(Trainer):
    """The Trainer with losses by name in its log and, where given, a judge of our own for the best weights."""

    judge: Callable[[nn.Module], dict[str, float]] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parts: dict[str, list[float]] = {}

    def compute_loss(  # type: ignore[override]
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> Any:
        """The loss of a batch; its named parts are remembered for the log."""
        out = model(**inputs)
        for name, value in out.items():
            if name != "loss":
                self.parts.setdefault(name, []).append(float(value))
        return (out["loss"], out) if return_outputs else out["loss"]

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Logs what the Trainer logs and the mean of each named part since the last time."""
        if "loss" in logs:
            logs |= {name: round(sum(values) / len(values), 4) for name, values in self.parts.items() if values}
            self.parts = {}
        super().log(logs, *args, **kwargs)

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """What the judge says of the model as it is now, on the CPU, where all is that it judges by."""
        assert self.judge is not None
        assert self.model is not None
        self.model.eval().cpu()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.judge(self.model).items()}
        self.model.train().to(self.args.device)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class Told(TrainerCallback):
    """Tells how many steps are done, and of how many."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self.progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After every step."""
        self.progress(state.global_step, state.max_steps)


def fit(
    model: nn.Module,
    lessons: Callable[[Sequence[int]], dict[str, Tensor]],
    out: str | Path,
    steps: int,
    learning_rate: float,
    seed: int,
    resume: bool = True,
    judge: Callable[[nn.Module], dict[str, float]] | None = None,
    best: str | None = None,
    patience: int | None = None,
    every: int = 200,
    bf16: bool = True,
    progress: Callable[[int, int], None] | None = None,
    optimizer: tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler] | None = None,
    clip: float = 1.0,
    in_order: bool = False,
) -> dict[str, Any]:
    """Trains ``model`` in place, on a GPU where there is one, and returns the Trainer's log; the model ends on the CPU.

    Told ``progress``, it prints nothing itself.

    With ``judge`` and ``best`` the weights with the highest judged number are the ones the model ends with, and
    training stops after ``patience`` judgements without a better one. ``optimizer`` and its schedule take the place of
    AdamW with a cosine; ``clip`` is the largest norm of a gradient, 0 for any. Batches come shuffled by the seed, or
    ``in_order`` of their numbers.
    """
    cuda = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(Path(out) / "checkpoints"),
        per_device_train_batch_size=1,
        max_steps=steps,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(100, steps // 10),
        weight_decay=0.05,
        max_grad_norm=clip,
        seed=seed,
        bf16=bf16 and bfloat16_pays("cuda" if cuda else "cpu"),
        disable_tqdm=progress is not None,
        use_cpu=not cuda,
        save_steps=every,
        save_total_limit=2,
        logging_steps=min(20, every),
        logging_nan_inf_filter=False,
        eval_strategy="steps" if judge else "no",
        eval_steps=every if judge else None,
        load_best_model_at_end=bool(judge and best),
        metric_for_best_model=best,
        greater_is_better=True if best else None,
        report_to=[],
        remove_unused_columns=False,
        train_sampling_strategy="sequential" if in_order else "random",
        dataloader_num_workers=0,
        dataloader_pin_memory=False,  # lessons may hold what is on the GPU already
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several would share out a lesson, which is one whole
    callbacks: list[TrainerCallback] = [EarlyStoppingCallback(patience)] if judge and best and patience else []
    if progress:
        callbacks.append(Told(progress))
    trainer = StepTrainer(
        model=model, args=arguments, train_dataset=Indices(steps), data_collator=lessons, callbacks=callbacks,
        eval_dataset=Indices(1) if judge else None, optimizers=optimizer or (None, None),
    )  # fmt: skip
    trainer.judge = judge
    if progress:
        trainer.remove_callback(PrinterCallback)
    kept = Path(out) / "checkpoints"
    last = get_last_checkpoint(str(kept)) if kept.is_dir() else None
    trainer.train(resume_from_checkpoint=last if resume else None)
    log = {"log": trainer.state.log_history, "best": trainer.state.best_metric, "steps": trainer.state.global_step}
    (Path(out) / "log.json").write_text(json.dumps(log, indent=1), encoding="utf-8")
    model.eval().cpu()
    return log
