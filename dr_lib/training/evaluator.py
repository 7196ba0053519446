"""Evaluating the network that a run trains, in its epochs and at its end."""

from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from dr_lib.config import RunConfig
from dr_lib.evaluation.matrix_metrics import accuracy, confusion_matrix, quadratic_weighted_kappa
from dr_lib.evaluation.predict import predict
from dr_lib.evaluation.ranking import macro_auc
from dr_lib.training.learner import Learner
from dr_lib.training.loaders import Batches
from dr_lib.training.run_progress import RunProgress


@dataclass(frozen=True)
class Evaluator:
    """Asks the network of ``learner`` about whole splits, with all processes of the run.

    ``batches``, in each method: the splits by name, as :meth:`dr_lib.training.loaders.LoaderFactory.testing` makes
    them. ``epoch``: that of the network, for messages.
    """

    config: RunConfig
    learner: Learner
    accelerator: Accelerator
    progress: RunProgress

    def metrics(self, batches: dict[str, Batches], epoch: int) -> dict[str, float | None]:
        """Return what a row of ``history.csv`` says of validation and testing photographs, None for missing ones."""
        row: dict[str, float | None] = {}
        head = self.learner.head
        self.fit_head(batches, epoch)
        for split, prefix in (("validation", "val"), ("test", "test")):
            if split not in batches:
                row |= {f"{prefix}_{name}": None for name in ("loss", "accuracy", "kappa", "auc")}
                continue
            outputs, grades = self.predict(split, batches, epoch)
            matrix = confusion_matrix(grades.cpu().numpy(), head.predicted(outputs).cpu().numpy())
            row |= {
                f"{prefix}_loss": head.loss(outputs, grades).item(),
                f"{prefix}_accuracy": float(accuracy(matrix)),
                f"{prefix}_kappa": float(quadratic_weighted_kappa(matrix)),
                f"{prefix}_auc": macro_auc(grades.cpu().numpy(), head.probabilities(outputs).cpu().numpy()),
            }
        return row

    def fit_head(self, batches: dict[str, Batches], epoch: int) -> None:
        """Fit what a head fits to held-out photographs, or, where none are, to those that were trained on."""
        if self.config.head == "regression":
            split = "validation" if "validation" in batches else "train"
            self.learner.head.fit(*self.predict(split, batches, epoch))

    @torch.no_grad()
    def predict(self, split: str, batches: dict[str, Batches], epoch: int) -> tuple[Tensor, Tensor]:
        """Return outputs and grades of all photographs of a split, in order, each once whatever number of processes.

        Raises :class:`FloatingPointError` where the network gives outputs that are not finite.
        """
        total = len(batches[split].dataset)
        report = self.progress.reporter(epoch, split, total, self.learner.phase)
        parts = gather_object([predict(self.learner.network, batches[split], report)])
        outputs, grades = (_interleaved([part[which] for part in parts]) for which in (0, 1))
        # After the gathering, so that all processes see the same.
        if not np.isfinite(outputs).all():
            last = self.learner.steps_an_epoch - 1
            raise self.learner.diverged(f"network's outputs on {split} photographs were", epoch, last)
        device = self.accelerator.device
        return torch.from_numpy(outputs).to(device), torch.from_numpy(grades).to(device)


def _interleaved(parts: list[np.ndarray]) -> np.ndarray:
    """Return the rows of several processes in the order of the photographs: each has every n-th of them."""
    merged = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    for process, part in enumerate(parts):
        merged[process :: len(parts)] = part
    return merged
