"""Where a network looks: Grad-CAM of a grade, and the heat laid over the photograph."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dr_lib import GRADES
from dr_lib.data.augmentations import views
from dr_lib.data.transforms import EvalTransform
from dr_lib.errors import InputError, check_finite
from dr_lib.models.builders import outputs_of
from dr_lib.models.heads import Coral, Corn, Head, Regression
from dr_lib.models.trained import TrainedNetwork

LEAST_PLACES = 7
"""Places that a side of the explained map has at least, where any map of the network has so many.

Grad-CAM takes the last map before pooling, 7 x 7 for the 224 px that these networks are made for. Of photographs of 64
px a ResNet makes 2 x 2 there, which can only say which quarter; its last map of 7 and more is 8 x 8.
"""
TRANSFORMERS = ("vit_", "swin_", "maxvit")
"""How torchvision's names of those networks begin in which attention carries evidence from place to place."""
STRONGEST = 0.7
"""Share of the color in the overlay where the heat is 1: the rest of the photograph shines through."""


@dataclass(frozen=True)
class Explanation:
    """Where a network found what speaks for a grade.

    ``seen``: uint8 (S, S, 3), the testing square, of several views the central one. ``heat``: float32 (S, S), 0..1,
    1 at its hottest; all 0 where nothing speaks for ``grade``. ``layer``: the module whose map was explained, as
    ``named_modules`` calls it; ``places``: height and width of that map, which is all the detail that the heat has;
    ``last_places``: those of the network's very last map.
    """

    seen: np.ndarray
    heat: np.ndarray
    grade: int
    layer: str = ""
    places: tuple[int, int] = (0, 0)
    last_places: tuple[int, int] = (0, 0)


def explain(network: TrainedNetwork, pixels: np.ndarray, grade: int | None = None) -> Explanation:
    """Return what in a photograph, uint8 (H, W, 3), speaks for ``grade``, or for the grade that the network answers.

    Grad-CAM (Selvaraju et al. 2017): relu of the sum over channels c of mean(dy/dA_c) A_c, where A is the map of
    :func:`last_map` and y the :func:`evidence` for the grade. Where testing averages several views, the answer is that
    of all of them and the heat that of the central one. The network is left as it was. Raises :class:`InputError` for
    networks without a map (transformers), and for a grade that is none.
    """
    return explain_many(network, [pixels], [grade])[0]


def explain_many(
    network: TrainedNetwork, photographs: Sequence[np.ndarray], grades: Sequence[int | None]
) -> list[Explanation]:
    """Return :func:`explain` of each photograph and its grade, all in one pass through the network."""
    if wrong := [grade for grade in grades if grade is not None and grade not in GRADES]:
        raise InputError(f"grade {wrong[0]}: there is no such grade to explain; choose one of 0 to 4")
    if network.config.model.startswith(TRANSFORMERS):
        raise InputError(
            f"model: {network.config.model} has no convolutional map for Grad-CAM to explain; "
            "explain a convolutional network, such as resnet18"
        )
    if not photographs:
        return []
    answered = [
        network.predicted(pixels) if grade is None else int(grade)
        for pixels, grade in zip(photographs, grades, strict=True)
    ]
    seen = np.stack([central_view(network, pixels) for pixels in photographs])
    with _in_eval_mode(network.model):
        with torch.no_grad():
            images = network.normalization(torch.from_numpy(seen))
        name, last_places = last_map(network.model, images[:1])
        maps = _grad_cam(network, name, images, torch.tensor(answered))
    check_finite(maps, "evidence of the network")
    heat = F.interpolate(maps, seen.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
    heat = heat / heat.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(heat.dtype).tiny)
    return [
        Explanation(square, warm, grade, name, (maps.shape[2], maps.shape[3]), last_places)
        for square, warm, grade in zip(seen, heat.numpy(), answered, strict=True)
    ]


def central_view(network: TrainedNetwork, pixels: np.ndarray) -> np.ndarray:
    """Return what ``network`` sees of a photograph, uint8 (H, W, 3), in testing: uint8 (S, S, 3), its central view."""
    transform = EvalTransform.of(network.config)
    square = transform.recipe.make(pixels)
    return np.array(views(square, "CenterCrop", transform.image_size)[0])


def evidence(head: Head, outputs: Tensor, grades: Tensor) -> Tensor:
    """Return how much speaks for each photograph's grade, float64 (N,), for the gradient to be taken of.

    ``outputs``: (N, outputs of ``head``); ``grades``: int64 (N,). Of a softmax it is the grade's logit, as in the paper
    of Grad-CAM. A head that knows the order of the grades counts thresholds; there it is the log-odds that the
    photograph is at least of this grade, which is the last threshold that had to be passed, and for grade 0 that it is
    not worse. The probability of the grade itself would not do: between its two thresholds it is flat where the network
    is surest, and its gradient nothing but noise.
    """
    outputs = outputs.double()
    match head:
        case Regression():
            log_odds = (outputs - head.cut_points) / head.scale
        case Coral():
            log_odds = outputs.sort(dim=1, descending=True).values
        case Corn():
            surely = F.logsigmoid(outputs).cumsum(dim=1)
            log_odds = surely - torch.log(-torch.expm1(surely))
        case _:
            return outputs.gather(1, grades[:, None])[:, 0]
    return torch.cat([-log_odds[:, :1], log_odds], dim=1).gather(1, grades[:, None])[:, 0]


def last_map(model: nn.Module, images: Tensor) -> tuple[str, tuple[int, int]]:
    """Return the name of the last module on the trunk of ``model`` whose map has :data:`LEAST_PLACES` a side.

    Where none has so many it is the last of those with the most. With it come height and width of the very last map of
    more than one place. The trunk is what all evidence passes: the children of
    the network, and those of its sequences; the inside of a residual block is none, since the shortcut passes it by.
    Raises :class:`InputError` where there is no map of more than one place.
    """
    maps: list[tuple[str, tuple[int, int]]] = []

    def note(name: str, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            maps.append((name, (output.shape[2], output.shape[3])))

    hooks = [
        module.register_forward_hook(lambda module, given, output, name=name: note(name, output))
        for name, module in _trunk(model)
    ]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not maps:
        raise InputError(
            f"model: {type(model).__name__} has no map of more than one place for Grad-CAM to explain at "
            f"{images.shape[-1]} px; explain a convolutional network, such as resnet18, or set a larger image_size"
        )
    enough = min(LEAST_PLACES, max(min(places) for _, places in maps))
    return [name for name, places in maps if min(places) >= enough][-1], maps[-1][1]


def overlay(explanation: Explanation, strength: float = STRONGEST) -> np.ndarray:
    """Return the heat over the photograph, uint8 (S, S, 3): the hotter, the more of the color.

    ``strength``: share of the color where the heat is 1; 0 leaves the photograph as it is. The colors are viridis',
    from dark blue to yellow: alike in order and distance to all kinds of color vision.
    """
    from matplotlib import colormaps

    share = strength * explanation.heat[..., None]
    colors = 255 * colormaps["viridis"](explanation.heat)[..., :3]
    return np.rint((1 - share) * explanation.seen + share * colors).astype(np.uint8)


def _grad_cam(network: TrainedNetwork, name: str, images: Tensor, grades: Tensor) -> Tensor:
    """Return Grad-CAM before it is enlarged: float32 (N, 1, h, w), 0 and more."""
    from captum.attr import LayerGradCam  # takes a second to import

    def forward(images: Tensor) -> Tensor:
        return evidence(network.head, outputs_of(network.model, images), grades)

    with torch.enable_grad():
        maps = LayerGradCam(forward, network.model.get_submodule(name)).attribute(images, relu_attributions=True)
    return maps.detach()


def _trunk(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield name and module of the children, and of the children of those that are sequences.

    Pooling to a given size is none: it may make more places than there are of evidence, as VGG does of small images.
    """
    for name, child in module.named_children():
        if not isinstance(child, nn.AdaptiveAvgPool2d):
            yield prefix + name, child
        if isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield from _trunk(child, f"{prefix}{name}.")


@contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Set eval mode, and afterwards each module's own: batch statistics would change with what is explained."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
