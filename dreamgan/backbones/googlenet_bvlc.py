"""The original BVLC GoogLeNet, as Caffe ran it: 5x5 branches, local response normalisation, no batch norm.

The network of the first DeepDream. torchvision's `googlenet` is a later, different one (3x3 instead of 5x5, batch
norm instead of local response normalisation), so these weights do not fit there.

Source: C. Szegedy et al., Going deeper with convolutions, 2015, as Caffe's model zoo trained it (bvlc_googlenet).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GoogLeNetBVLC(nn.Module):
    """Classifier of ImageNet: images (B, 3, H, W) → logits (B, classes).

    Module paths are torchvision's names for GoogLeNet (`inception4c.branch3.1.conv`), and so are the keys of a
    weights file; `branch3` is the 5x5 branch. A path of a convolution with its ReLU (`conv3`, `inception4c.branch1`)
    means the output of the ReLU.

    Differs: the two auxiliary classifiers, which only training uses, are left out; the last pooling takes the mean
    over whatever is left of the picture, not over 7x7 places, so any size will do; and the input is RGB normalised as
    for every backbone here (Caffe: BGR, 0 to 255, minus a mean), which a weights file accounts for in its `conv1`.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        """Build the network.

        Args:
            num_classes: width of the last layer.
        """
        super().__init__()
        self.conv1 = ConvReLU(3, 64, kernel_px=7, stride=2, padding_px=3)
        self.maxpool1 = _halving_pool()
        self.norm1 = ResponseNorm()
        self.conv2 = ConvReLU(64, 64)
        self.conv3 = ConvReLU(64, 192, kernel_px=3, padding_px=1)
        self.norm2 = ResponseNorm()
        self.maxpool2 = _halving_pool()
        # Widths: input; 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection (table 1 of the paper).
        self.inception3a = InceptionBlock(192, 64, (96, 128), (16, 32), 32)
        self.inception3b = InceptionBlock(256, 128, (128, 192), (32, 96), 64)
        self.maxpool3 = _halving_pool()
        self.inception4a = InceptionBlock(480, 192, (96, 208), (16, 48), 64)
        self.inception4b = InceptionBlock(512, 160, (112, 224), (24, 64), 64)
        self.inception4c = InceptionBlock(512, 128, (128, 256), (24, 64), 64)
        self.inception4d = InceptionBlock(512, 112, (144, 288), (32, 64), 64)
        self.inception4e = InceptionBlock(528, 256, (160, 320), (32, 128), 128)
        self.maxpool4 = _halving_pool()
        self.inception5a = InceptionBlock(832, 256, (160, 320), (32, 128), 128)
        self.inception5b = InceptionBlock(832, 384, (192, 384), (48, 128), 128)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify.

        Args:
            images: (B, 3, H, W), floating, RGB in [0, 1] minus the ImageNet mean over the ImageNet std.

        Returns:
            (B, num_classes), logits (before the softmax).
        """
        x = self.norm1(self.maxpool1(self.conv1(images)))  # (B, 64, H/4, W/4)
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(x))))  # (B, 192, H/8, W/8)
        x = self.maxpool3(self.inception3b(self.inception3a(x)))  # (B, 480, H/16, W/16)
        x = self.inception4c(self.inception4b(self.inception4a(x)))  # (B, 512, H/16, W/16)
        x = self.maxpool4(self.inception4e(self.inception4d(x)))  # (B, 832, H/32, W/32)
        x = self.avgpool(self.inception5b(self.inception5a(x)))  # (B, 1024, 1, 1)
        logits: Tensor = self.fc(self.dropout(torch.flatten(x, 1)))
        return logits


class InceptionBlock(nn.Module):
    """Four branches side by side, joined along the channels in the order 1x1, 3x3, 5x5, pooling."""

    def __init__(
        self, width_in: int, width_1x1: int, widths_3x3: tuple[int, int], widths_5x5: tuple[int, int], width_pool: int
    ) -> None:
        """Build the block.

        Args:
            width_in: channels of the input.
            width_1x1: channels of the 1x1 branch.
            widths_3x3: channels of the 3x3 branch's 1x1 reduction and of its 3x3 convolution.
            widths_5x5: the same of the 5x5 branch.
            width_pool: channels of the convolution after the pooling.
        """
        super().__init__()
        reduce_3x3, width_3x3 = widths_3x3
        reduce_5x5, width_5x5 = widths_5x5
        self.branch1 = ConvReLU(width_in, width_1x1)
        self.branch2 = nn.Sequential(
            ConvReLU(width_in, reduce_3x3), ConvReLU(reduce_3x3, width_3x3, kernel_px=3, padding_px=1)
        )
        self.branch3 = nn.Sequential(
            ConvReLU(width_in, reduce_5x5), ConvReLU(reduce_5x5, width_5x5, kernel_px=5, padding_px=2)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvReLU(width_in, width_pool))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, h, w) → (B, sum of the four branches' widths, h, w)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class ConvReLU(nn.Module):
    """A convolution with bias, then a ReLU: in Caffe, which works in place, the two are one layer's output."""

    def __init__(
        self, width_in: int, width_out: int, *, kernel_px: int = 1, stride: int = 1, padding_px: int = 0
    ) -> None:
        """Build the pair.

        Args:
            width_in: channels of the input.
            width_out: channels of the output.
            kernel_px: side of the square kernel.
            stride: of the convolution.
            padding_px: zeros added on every side.
        """
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, kernel_px, stride, padding_px)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, h, w) → (B, width_out, h', w'), not negative."""
        out: Tensor = self.relu(self.conv(x))
        return out


class ResponseNorm(nn.Module):
    """Local response normalisation across channels: x / (1 + 1e-4 * mean of x² over 5 channels) ** 0.75.

    The window is centred on each channel; beyond the first and the last one it holds zeros, which count in the mean.

    Source: A. Krizhevsky et al., 2012, section 3.3, with the constants of bvlc_googlenet.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h, w)."""
        # torch's own nn.LocalResponseNorm gives the same, but pools in 3D, which made a whole step 1.25x as slow.
        squares = F.pad(x.square(), (0, 0, 0, 0, 2, 2))
        total = squares[:, :-4] + squares[:, 1:-3] + squares[:, 2:-2] + squares[:, 3:-1] + squares[:, 4:]
        return x * (1 + 1e-4 / 5 * total).pow(-0.75)


def _halving_pool() -> nn.MaxPool2d:
    # Caffe rounds sizes up: the last window may hang over the edge.
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
