"""The losses of style transfer in plain loops, as the formulas stand in Gatys et al. 2016."""

from collections.abc import Sequence

Maps = Sequence[Sequence[Sequence[float]]]


def gram_of(features: Maps) -> list[list[float]]:
    """Maps, each rows of values, to G_ij = Σ_k F_ik F_jk."""
    flat = [[value for row in one for value in row] for one in features]
    return [[sum(a * b for a, b in zip(one, other, strict=True)) for other in flat] for one in flat]


def content_of(generated: Maps, photo: Maps) -> float:
    total = 0.0
    for ours, theirs in zip(generated, photo, strict=True):
        for our_row, their_row in zip(ours, theirs, strict=True):
            for a, b in zip(our_row, their_row, strict=True):
                total += (a - b) ** 2
    return total / 2


def style_of(generated: Maps, style: Maps) -> float:
    """E_l = Σ (G - A)² / (4 N² M²), for pictures of one size."""
    n, m = len(generated), len(generated[0]) * len(generated[0][0])
    ours, theirs = gram_of(generated), gram_of(style)
    total = sum((ours[i][j] - theirs[i][j]) ** 2 for i in range(n) for j in range(n))
    return total / (4 * n**2 * m**2)


def tv_of(image: Maps) -> float:
    height, width = len(image[0]), len(image[0][0])
    across = [(one[y][x + 1] - one[y][x]) ** 2 for one in image for y in range(height) for x in range(width - 1)]
    down = [(one[y + 1][x] - one[y][x]) ** 2 for one in image for y in range(height - 1) for x in range(width)]
    return sum(across) / len(across) + sum(down) / len(down)
