"""Pictures from noise beside the dreams that are nearest to them: whether they were memorised, to look at."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from dreamgan.evaluation.noise_sets import NoiseSets
from dreamgan.evaluation.yardstick import Yardstick
from dreamgan.images import to_picture
from dreamgan.metrics.features import feature_map
from dreamgan.metrics.kid import pooled

HEADS = ("from noise", "nearest in training", "nearest held out")


def neighbour_rows(
    generated: Tensor, sets: NoiseSets, yardstick: Yardstick, device: torch.device
) -> list[list[Image.Image]]:
    """Rows of ``HEADS``.

    Args:
        generated: Pictures from noise, (N, 3, S, S) in [0, 1].
        sets: From ``gather``.
        yardstick: Whose network says what is near.
        device: Where the network lives.
    """
    with torch.no_grad():
        made, trained, held_out = (
            torch.cat(
                [
                    pooled(feature_map(part.to(device), yardstick.extractor, yardstick.layer)).cpu()
                    for part in torch.split(images, 32)
                ]
            )
            for images in (generated, sets.trained, sets.dreams[0])
        )
    shown = []
    for row, features in enumerate(made):
        pictures = [generated[row]]
        for features_of, images in ((trained, sets.trained), (held_out, sets.dreams[0])):
            pictures.append(images[int(torch.cdist(features[None], features_of).argmin())])
        shown.append([to_picture(picture) for picture in pictures])
    return shown
