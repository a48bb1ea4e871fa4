"""The arms of the claim about training: what is added to the photos."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS = ("dreams", "duplicates", "noise", "blurred")
BLUR_PX = 1.5


@dataclass(frozen=True)
class Arm:
    """What a training set is made of.

    Attributes:
        kind: of what is added; "photos": nothing is.
        share: of the pictures that are added ones, in [0, 1).
    """

    kind: str
    share: float

    @property
    def name(self) -> str:
        """As in tables and file names."""
        return self.kind if not self.share else f"{self.kind}-{round(100 * self.share)}"

    def added(self, photos: int) -> int:
        """How many pictures are added to so many photos."""
        return round(photos * self.share / (1 - self.share))


ARMS = (Arm("photos", 0.0), *(Arm(kind, share) for kind in KINDS for share in (0.25, 0.5)))


def with_noise(photos: Tensor, dreams: Tensor, seed: int) -> Tensor:
    """Photos with Gaussian noise, of the root mean square of what each one's dream changed.

    Args:
        photos: (N, 3, H, W) in [0, 1].
        dreams: of them.
        seed: of the noise.
    """
    size = (dreams - photos).square().mean((1, 2, 3), keepdim=True).sqrt()
    noise = torch.randn(photos.shape, generator=torch.Generator().manual_seed(seed))
    return (photos + size * noise).clamp(0, 1)


def blurred(photos: Tensor, sigma_px: float = BLUR_PX) -> Tensor:
    """Photos under a Gaussian, (N, 3, H, W) in [0, 1]; reflected at the border."""
    radius = math.ceil(3 * sigma_px)
    places = torch.arange(-radius, radius + 1, dtype=torch.float32)
    line = torch.exp(-places.square() / (2 * sigma_px**2))
    line = line / line.sum()
    wide = F.pad(photos, (radius, radius, radius, radius), mode="reflect")
    down = F.conv2d(wide, line.view(1, 1, -1, 1).expand(3, 1, -1, 1), groups=3)
    return F.conv2d(down, line.view(1, 1, 1, -1).expand(3, 1, 1, -1), groups=3)
