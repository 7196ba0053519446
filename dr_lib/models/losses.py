"""What a batch costs: cross-entropy with its variants, and the losses of grades that have an order.

A loss knows what each photograph would cost were it of grade 0, 1, ... 4, and is the mean of this over the grades that
they have or, of photographs that MixUp has mixed, over their shares of grades: a mixed photograph costs the mix of what
its two grades would. Each grade has a weight, and the mean is a weighted one, as in torch's ``cross_entropy``. All is
done in float32, whatever autocast made of the outputs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dr_lib import GRADES


def grade_shares(targets: Tensor, classes: int = len(GRADES)) -> Tensor:
    """Return shares of grades, float32 (N, classes), rows sum to 1: those given, or all of it for the grade, (N,)."""
    if targets.ndim == 2:
        return targets.float()
    return (targets[:, None] == torch.arange(classes, device=targets.device)).float()


def weighted_mean(costs: Tensor, targets: Tensor, weights: Tensor, terms: Tensor | float = 1.0) -> Tensor:
    """Return the mean of ``costs`` (N, C) over the true grades, each photograph counting as ``weights`` (C,) says.

    ``targets``: grades, int64 (N,), or their shares, float (N, C). ``terms``, (C,): where the costs of a grade are sums
    of several, and the mean is to be over these, of how many.
    """
    counting = grade_shares(targets, costs.shape[1]) * weights
    return (counting * costs).sum() / (counting * terms).sum()


def cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor, *, label_smoothing: float = 0.0, focal_gamma: float = 0.0
) -> Tensor:
    """Return the cross-entropy of ``logits`` (N, C) and ``targets``, grades (N,) or their shares (N, C).

    ``label_smoothing``: share of a target that is spread evenly over all grades (Szegedy et al. 2016, section 7;
    NVIDIA's ResNet v1.5 takes 0.1). ``focal_gamma`` above 0 is the focal loss, which plays down what is easy by
    (1 - p)^gamma (Lin et al. 2017, eq. 5, for several classes, with ``weights`` as its alpha); they take 2.
    """
    logits = logits.float()
    if targets.ndim == 1 and focal_gamma == 0:  # to the bit as torch has it
        return F.cross_entropy(logits, targets, weights, label_smoothing=label_smoothing)
    log_probabilities = logits.log_softmax(dim=1)
    # Kept off 0, where the slope of a power below 1 is infinite.
    missing = (-log_probabilities.expm1()).clamp(min=torch.finfo(torch.float32).eps)
    costs = -log_probabilities * weights * missing**focal_gamma
    shares = grade_shares(targets, logits.shape[1])
    smoothed = (1 - label_smoothing) * shares + label_smoothing / logits.shape[1]
    # Over the weights of the true grades, smoothed or not, which is torch's mean.
    return (smoothed * costs).sum() / (shares * weights).sum()


def coral_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return CORAL's loss (Cao, Mirjalili and Raschka 2020): "worse than k?" asked of every photograph.

    ``logits``: (N, 4), of grade > k for k = 0..3. The loss is the sum of their binary cross-entropies (section 3,
    "Loss function", all questions equally important).
    """
    return weighted_mean(_answer_costs(logits).sum(dim=2), targets, weights)


def corn_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return CORN's loss (Shi, Cao and Raschka 2021): "worse than k?" asked of what is at least k alone.

    ``logits``: (N, 4), of grade > k given grade >= k for k = 0..3. The loss is the mean of the binary
    cross-entropies over all photographs and the questions that are asked of them ("Conditional training subsets"; as
    in coral-pytorch).
    """
    costs, asked = _answer_costs(logits), asked_of_grades(logits.device)
    return weighted_mean((costs * asked).sum(dim=2), targets, weights, terms=asked.sum(dim=1))


def asked_of_grades(device: torch.device) -> Tensor:
    """Return which of CORN's four questions are asked of photographs of each grade, bool (5, 4)."""
    grades, thresholds = _grades_and_thresholds(device)
    return grades >= thresholds


def distance_loss(outputs: Tensor, targets: Tensor, weights: Tensor, kind: str) -> Tensor:
    """Return how far ``outputs`` (N, 1) are from the grades: squared_error, or smooth_l1 (Girshick 2015, eq. 3).

    smooth_l1 is half the square within one grade and grows linearly beyond, less hard on a wrong label.
    """
    outputs, grades = torch.broadcast_tensors(outputs.float(), torch.arange(len(GRADES), device=outputs.device).float())
    measure = {"squared_error": F.mse_loss, "smooth_l1": F.smooth_l1_loss}[kind]
    return weighted_mean(measure(outputs, grades, reduction="none"), targets, weights)


def _answer_costs(logits: Tensor) -> Tensor:
    """Return the binary cross-entropy of each logit, were its photograph of each grade: float32 (N, 5, 4)."""
    grades, thresholds = _grades_and_thresholds(logits.device)
    logits = logits.float()[:, None]
    return torch.where(grades > thresholds, F.softplus(-logits), F.softplus(logits))


def _grades_and_thresholds(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the grades, (5, 1), and the thresholds k between them, (4,)."""
    grades = torch.arange(len(GRADES), device=device)
    return grades[:, None], grades[:-1]
