"""What a network's last outputs mean: how they become a loss, probabilities of the grades, and a grade.

Whatever the head, who asks it gets the same things back, so that metrics and report need not know which it was.
"""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit
from torch import Tensor, nn

from dr_lib import GRADES
from dr_lib.data.class_weights import class_counts
from dr_lib.models.losses import asked_of_grades, coral_loss, corn_loss, cross_entropy, distance_loss, grade_shares

Kind = Literal["softmax", "coral", "corn", "regression"]

THRESHOLDS = len(GRADES) - 1
"""One between each two neighboring grades."""
HALF_WAY = tuple(grade + 0.5 for grade in GRADES[:-1])
"""Cut-points until better ones are known: an output is rounded to its grade."""
SCALES = (0.05, 5.0)
"""Least and largest scale, in grades, that a regression's errors are taken to have."""


class Head(nn.Module, ABC):
    """The meaning of a network's outputs, float (N, ``outputs``); a head has nothing that gradients train.

    ``class_weights``: one a grade, (5,), in the loss alone; ``None``: ones. They follow from the training photographs
    and are in no checkpoint.
    """

    outputs: int
    class_weights: Tensor

    def __init__(self, class_weights: ArrayLike | None = None):
        super().__init__()
        weights = np.ones(len(GRADES)) if class_weights is None else class_weights
        self.register_buffer("class_weights", torch.as_tensor(weights, dtype=torch.float32), persistent=False)

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, float32, for grades, int64 (N,), or shares of grades, float (N, 5)."""

    def weight(self, targets: Tensor) -> Tensor:
        """Return what a batch counts, with which means of several batches make that of all; a number, float32."""
        return (grade_shares(targets) * self.class_weights).sum()

    @abstractmethod
    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return the probability of each grade, float64 (N, 5), rows sum to 1."""

    @abstractmethod
    def predicted(self, outputs: Tensor) -> Tensor:
        """Return the grade that is answered, int64 (N,)."""

    def fit(self, outputs: Tensor, grades: Tensor) -> None:
        """Fit to held-out ``outputs`` and their true ``grades``, int64 (N,), what gradients do not: cut-points.

        A regression alone has any; of the others nothing changes.
        """


class Softmax(Head):
    """One output a grade, none nearer to another: the lab report's. It answers the likeliest grade."""

    outputs = len(GRADES)

    def __init__(
        self, class_weights: ArrayLike | None = None, *, label_smoothing: float = 0.0, focal_gamma: float = 0.0
    ):
        super().__init__(class_weights)
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(
            outputs, targets, self.class_weights,
            label_smoothing=self.label_smoothing, focal_gamma=self.focal_gamma,
        )  # fmt: skip

    def probabilities(self, outputs: Tensor) -> Tensor:
        return outputs.double().softmax(dim=1)

    def predicted(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(dim=1)


class _Ordinal(Head):
    """A head that says how likely it is that a grade is worse than k = 0..3, and answers the median.

    The answer is the number of thresholds that are passed with a probability above one half, as CORAL and CORN have it.
    """

    @abstractmethod
    def worse_than(self, outputs: Tensor) -> Tensor:
        """Return P(grade > k), float64 (N, 4), in no row rising with k."""

    def probabilities(self, outputs: Tensor) -> Tensor:
        at_least = F.pad(self.worse_than(outputs), (1, 0), value=1.0)
        return at_least - F.pad(at_least[:, 1:], (0, 1))

    def predicted(self, outputs: Tensor) -> Tensor:
        return (self.worse_than(outputs) > 0.5).sum(dim=1)


class Coral(_Ordinal):
    """Consistent rank logits (Cao, Mirjalili and Raschka 2020): the four questions share their weights.

    The questions cannot contradict each other once their biases are in order, as they are at the optimum (theorem 1
    there). On the way they may not be; sorting the probabilities leaves the answer as it is and brings them, if
    anything, nearer to the truth (Chernozhukov, Fernandez-Val and Galichon 2010).
    """

    outputs = THRESHOLDS

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return coral_loss(outputs, targets, self.class_weights)

    def worse_than(self, outputs: Tensor) -> Tensor:
        return outputs.double().sigmoid().sort(dim=1, descending=True).values


class Corn(_Ordinal):
    """Conditional ordinal regression (Shi, Cao and Raschka 2021): output k is for grade > k given grade > k - 1.

    P(grade > k) is the product of the first k + 1 and falls with k by itself.
    """

    outputs = THRESHOLDS

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return corn_loss(outputs, targets, self.class_weights)

    def weight(self, targets: Tensor) -> Tensor:
        asked = asked_of_grades(targets.device).sum(dim=1)  # the mean is over questions
        return (grade_shares(targets) * self.class_weights * asked).sum()

    def worse_than(self, outputs: Tensor) -> Tensor:
        return outputs.double().sigmoid().cumprod(dim=1)


class Regression(_Ordinal):
    """One output, drawn towards the number of the grade; four cut-points make it a grade again.

    ``cut_points`` (4,) and ``scale`` (both in grades, in ``state_dict``) are fitted to held-out photographs: the
    cut-points by :func:`matching_cut_points`, the scale by likelihood. P(grade > k) is logistic in (output - cut-point)
    / scale, the proportional odds of McCullagh 1980 around cut-points that are chosen to decide by.
    """

    outputs = 1

    def __init__(
        self,
        class_weights: ArrayLike | None = None,
        *,
        regression_loss: Literal["squared_error", "smooth_l1"] = "squared_error",
    ):
        super().__init__(class_weights)
        self.regression_loss = regression_loss
        self.cut_points: Tensor
        self.scale: Tensor
        self.register_buffer("cut_points", torch.tensor(HALF_WAY, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(0.25, dtype=torch.float64))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return distance_loss(outputs, targets, self.class_weights, self.regression_loss)

    def worse_than(self, outputs: Tensor) -> Tensor:
        return ((outputs.double() - self.cut_points) / self.scale).sigmoid()

    def fit(self, outputs: Tensor, grades: Tensor) -> None:
        values, true = outputs.detach()[:, 0].double().cpu().numpy(), grades.cpu().numpy()
        cut_points = matching_cut_points(values, true)
        self.cut_points.copy_(torch.from_numpy(cut_points))
        self.scale.fill_(_likeliest_scale(values[:, None] - cut_points, true))


class CoralLinear(nn.Linear):
    """A last layer of one weight vector and a bias a threshold: float (N, ``features``) to logits (N, 4).

    It is a ``Linear``, so that what looks for a network's last linear layer finds it. The biases begin in order,
    evenly from 1 down to 1/4, as in coral-pytorch.
    """

    def __init__(self, features: int):
        super().__init__(features, 1)
        self.bias = nn.Parameter(torch.arange(THRESHOLDS, 0, -1) / THRESHOLDS)

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight) + self.bias


def build_head(
    kind: Kind,
    *,
    class_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    regression_loss: Literal["squared_error", "smooth_l1"] = "squared_error",
) -> Head:
    """Return the head ``kind``; smoothing and focusing are softmax's alone, the kind of loss is a regression's."""
    if kind == "softmax":
        return Softmax(class_weights, label_smoothing=label_smoothing, focal_gamma=focal_gamma)
    if kind == "regression":
        return Regression(class_weights, regression_loss=regression_loss)
    return {"coral": Coral, "corn": Corn}[kind](class_weights)


def final_layer(kind: Kind, features: int) -> nn.Linear:
    """Return the last layer, from ``features`` to the outputs of the head ``kind``, with random weights."""
    return CoralLinear(features) if kind == "coral" else nn.Linear(features, build_head(kind).outputs)


def matching_cut_points(values: ArrayLike, grades: ArrayLike) -> NDArray[np.float64]:
    """Return the cut-points, float64 (4,), by which each grade is answered as often as it occurs.

    ``values``: a regression's outputs, (N,). A cut is in the middle between the two values that stand on either side of
    its threshold when all are in order; cuts that no photograph keeps apart share the gap evenly. Where nothing lies
    beyond a threshold its cut is half-way between two grades, or half a grade past the last value if that is farther.
    (Scores of different tests are equated so, by equal percentiles.)

    Cut-points that maximize the quadratic weighted kappa can be had, too. On simulated outputs they gained at most 0.01
    on new photographs where errors were large and 500 or more were held out, lost as much where 100 were, and always
    promised more than they kept, by 0.01 to 0.1, which would flatter the kappa that an epoch is chosen by.
    """
    values = np.sort(np.asarray(values, dtype=np.float64))
    cut_points = np.array(HALF_WAY)
    below = class_counts(np.asarray(grades)).cumsum()[:-1]
    for count in np.unique(below):
        here = below == count
        if count == 0:
            cut_points[here] = np.minimum(cut_points[here], values[0] - 0.5)
        elif count == len(values):
            cut_points[here] = np.maximum(cut_points[here], values[-1] + 0.5)
        else:
            cut_points[here] = np.linspace(values[count - 1], values[count], here.sum() + 2)[1:-1]
    return cut_points


def _likeliest_scale(distances: NDArray[np.float64], grades: NDArray[np.int64]) -> float:
    """Return the scale by which the grades are likeliest, given how far each output is from each cut-point, (N, 4)."""
    photographs = np.arange(len(grades))

    def surprise(log_scale: float) -> float:
        worse = np.pad(expit(distances / np.exp(log_scale)), ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
        probability = worse[photographs, grades] - worse[photographs, grades + 1]
        # Two cut-points in one place leave the grade between them nothing, whatever the scale.
        return -np.log(np.maximum(probability, 1e-6)).sum()

    return float(np.exp(minimize_scalar(surprise, bounds=np.log(SCALES), method="bounded").x))
