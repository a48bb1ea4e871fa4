import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from dreamgan.claims.arms import ARMS, Arm, blurred, with_noise


def test_nine_arms_and_what_each_adds() -> None:
    assert len(ARMS) == len({arm.name for arm in ARMS}) == 9
    assert [Arm("dreams", share).added(300) for share in (0.0, 0.25, 0.5)] == [0, 100, 300]
    assert (Arm("photos", 0.0).name, Arm("noise", 0.25).name) == ("photos", "noise-25")


def test_noise_is_as_large_as_what_the_dream_changed() -> None:
    photos = torch.full((2, 3, 64, 64), 0.5)
    dreams = photos + torch.tensor([0.02, 0.1]).view(2, 1, 1, 1)
    noisy = with_noise(photos, dreams, 0)
    sizes = (noisy - photos).square().mean((1, 2, 3)).sqrt()
    assert sizes.tolist() == pytest.approx([0.02, 0.1], rel=0.05)
    assert torch.equal(noisy, with_noise(photos, dreams, 0))


def test_blur_is_torchvisions() -> None:
    photos = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(blurred(photos, 1.5), gaussian_blur(photos, [11, 11], [1.5, 1.5]))
