"""An average of the weights over the last steps, which tests better than the weights of any one step."""

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

_Tensors = tuple[Tensor, ...] | list[Tensor]


class ExponentialMovingAverage(AveragedModel):
    """The exponential moving average of a network's weights; ``module`` is the network that has them.

    After every step, ``update_parameters(model)`` moves each average towards the present weight by 1 - ``decay``
    (Polyak and Juditsky 1992; Tarvainen and Valpola 2017). Made anew, it is a copy of the network after its first step,
    which :func:`decay_after` lets it forget quickly.

    BatchNorm's running statistics are averaged like the weights, not copied: those of the present weights do not fit
    the average of many. On small networks, tried on noise with a signal, the average tested as well so as with
    statistics measured anew over all training data (``update_bn``, which costs an epoch's reading); with copied ones a
    quarter or more of what averaging gains was lost. What is counted, such as BatchNorm's batches, is copied.

    ``state_dict`` holds the averages and the number of updates, so that a checkpoint of it resumes to the bit. Make it
    of a network that is on its device already: the number stays on the CPU, where reading it waits for nothing.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__(model, multi_avg_fn=self._approach, use_buffers=True)
        self.decay = decay

    def _approach(self, averages: _Tensors, present: _Tensors, _: Tensor | int) -> None:
        if averages[0].is_floating_point():
            get_ema_multi_avg_fn(decay_after(int(self.n_averaged), self.decay))(averages, present, _)
        else:
            for average, value in zip(averages, present, strict=True):
                average.copy_(value)


def decay_after(updates: int, decay: float) -> float:
    """Return min(``decay``, (1 + updates) / (10 + updates)), 0..1.

    So that a run of a few hundred steps is not held at its beginning by a decay meant for many thousand (TensorFlow's
    ``ExponentialMovingAverage``, ``num_updates``).
    """
    return min(decay, (1 + updates) / (10 + updates))
