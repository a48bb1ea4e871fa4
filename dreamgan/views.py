"""Views: the same picture a little shifted, blurred or scaled; what is really in it survives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

View = Callable[[Tensor], Tensor]


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``sigma`` px, (B, C, H, W) to the same."""
    radius = max(1, round(3 * sigma))
    blurred_images: Tensor = gaussian_blur(images, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])
    return blurred_images


def scaled(images: Tensor, factor: float) -> Tensor:
    """Bilinear resize by ``factor``."""
    height, width = images.shape[-2:]
    size = (round(height * factor), round(width * factor))
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def robust_views() -> list[View]:
    """The fixed views of the robust gain: blur 0.7 px, four shifts, an upscale by 1.25."""
    shifts = ((0, 0), (7, 11), (11, 7), (3, 13))
    return [
        lambda images: blurred(images, 0.7),
        *(lambda images, by=by: images.roll(by, dims=(2, 3)) for by in shifts),
        lambda images: scaled(images, 1.25),
    ]


@dataclass(frozen=True)
class RandomView:
    """One random crop, scale and blur, to be applied to a generated picture and its target alike."""

    top: float
    left: float
    share: float
    factor: float
    sigma: float

    @classmethod
    def draw(cls, chance: float = 1.0) -> RandomView:
        """Draw from torch's global stream: crop 0.75-1, scale 0.8-1.25, blur half of the time.

        Args:
            chance: That it is a view at all, in [0, 1]; else it leaves pictures as they are.
        """
        top, left, share, factor, blur, sigma, any_view = torch.rand(7).tolist()
        if any_view >= chance:
            return cls(top=0, left=0, share=1, factor=1, sigma=0)
        return cls(
            top,
            left,
            0.75 + 0.25 * share,
            0.8 * (1.25 / 0.8) ** factor,
            0.3 + 0.7 * sigma if blur < 0.5 else 0.0,
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Apply to (B, C, H, W)."""
        height, width = images.shape[-2:]
        crop = (round(height * self.share), round(width * self.share))
        top, left = round(self.top * (height - crop[0])), round(self.left * (width - crop[1]))
        view = scaled(images[..., top : top + crop[0], left : left + crop[1]], self.factor)
        return blurred(view, self.sigma) if self.sigma > 0 else view
