"""From crops of pixels to grades as one module: what is exported is what is checked is what grades."""

import torch
from torch import Tensor, nn

from dr_lib.data.normalization import Normalization
from dr_lib.models.heads import Corn, Head
from dr_lib.models.trained import TrainedNetwork


class EndToEndNetwork(nn.Module):
    """A run's views, normalization, network and head, written so that they can be traced for any number of crops.

    ``forward``: uint8 (N, S, S, 3) to ``outputs``, float32 (N, k), ``probabilities``, float64 (N, 5), and ``grade``,
    int64 (N,).
    """

    def __init__(self, trained: TrainedNetwork):
        super().__init__()
        self.model, self.head, self.normalization = trained.model, trained.head, trained.normalization
        self.image_size, self.views = trained.config.image_size, trained.config.test_time_augmentation
        self.eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = views(pixels, self.views, self.image_size)
        together = self.model(normalized(self.normalization, torch.cat(seen)))
        outputs = together.unflatten(0, (len(seen), -1)).mean(dim=0) if len(seen) > 1 else together
        return outputs, *answers(self.head, outputs)


def views(pixels: Tensor, name: str, image_size: int) -> list[Tensor]:
    """Return what :func:`dr_lib.data.augmentations.views` makes of each crop, one tensor (N, s, s, 3) a view."""
    room = pixels.shape[1] - image_size

    def crop(source: Tensor, top: int, left: int) -> Tensor:
        return source[:, top : top + image_size, left : left + image_size]

    center = round(room / 2), round(room / 2)
    if name in ("none", "CenterCrop"):
        return [crop(pixels, *center)]
    if name == "Flips":
        middle = crop(pixels, *center)
        return [middle, middle.flip(2), middle.flip(1), middle.flip(1, 2)]
    sources = {"FiveCrop": [pixels], "TenCrop": [pixels, pixels.flip(2)]}[name]
    places = (0, 0), (0, room), (room, 0), (room, room), center
    return [crop(source, *place) for source in sources for place in places]


def normalized(normalization: Normalization, pixels: Tensor) -> Tensor:
    """Return what ``normalization`` makes of uint8 (N, H, W, 3), without its economies of memory, to the same bits."""
    if normalization.kind in ("imagenet", "featurewise"):
        values = (pixels.float() / normalization.white - normalization.mean) / normalization.std
        return values.permute(0, 3, 1, 2)
    return normalization(pixels)


def answers(head: Head, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities and grade of ``outputs`` by ``head``."""
    if isinstance(head, Corn):
        head = _TraceableCorn()
    return head.probabilities(outputs), head.predicted(outputs)


class _TraceableCorn(Corn):
    """ONNX has no cumulative product before operator set 26: the same factors, multiplied one by one."""

    def worse_than(self, outputs: Tensor) -> Tensor:
        factors = outputs.double().sigmoid().unbind(dim=1)
        products = [factors[0]]
        for factor in factors[1:]:
            products.append(products[-1] * factor)
        return torch.stack(products, dim=1)
