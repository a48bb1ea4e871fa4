"""Which pairs a step sees: one style per batch, each pair once, whatever the number of processes."""

from collections import Counter

import pytest

from dreamgan.data.draws import Draw, Part, StyleSampler


def whole(*rows: int) -> list[list[Part]]:
    """Styles of one dataset each, all of which is taken."""
    return [[Part(count)] for count in rows]


def epoch(sampler: StyleSampler, number: int = 0) -> list[Draw]:
    sampler.set_epoch(number)
    return list(sampler)


def batches(draws: list[Draw], size: int) -> list[list[Draw]]:
    return [draws[start : start + size] for start in range(0, len(draws), size)]


def test_every_batch_is_of_one_style_and_every_pair_comes_once() -> None:
    sampler = StyleSampler(whole(9, 4, 6), 2, flip=True, seed=0)
    draws = epoch(sampler)
    assert len(draws) == len(sampler) == 18  # one of the nine is left over
    assert all(len({draw.style for draw in batch}) == 1 for batch in batches(draws, 2))
    assert max(Counter((draw.style, draw.row) for draw in draws).values()) == 1
    assert Counter(draw.style for draw in draws) == {0: 8, 1: 4, 2: 6}
    # Over the epochs all pairs come.
    seen = {(draw.style, draw.row) for number in range(20) for draw in epoch(sampler, number)}
    assert seen == {(style, row) for style, rows in enumerate((9, 4, 6)) for row in range(rows)}


def test_styles_are_mixed() -> None:
    order = [batch[0].style for batch in batches(epoch(StyleSampler(whole(40, 40), 2, flip=True, seed=0)), 2)]
    changes = sum(one != next_one for one, next_one in zip(order, order[1:], strict=False))
    assert 10 < changes < 30


@pytest.mark.parametrize(("rows", "batch", "processes"), [((3, 8), 4, 1), ((3, 8), 2, 2), ((1, 1), 2, 3)])
def test_of_few_pairs_one_batch_is_made_all_the_same(rows: tuple[int, ...], batch: int, processes: int) -> None:
    parts = [
        epoch(StyleSampler(whole(*rows), batch, flip=False, seed=0, processes=processes, rank=rank))
        for rank in range(processes)
    ]
    for style, count in enumerate(rows):
        drawn = Counter(draw.row for part in parts for draw in part if draw.style == style)
        assert set(drawn) == set(range(count))
        assert sum(drawn.values()) == batch * processes * max(1, count // (batch * processes))
        assert max(drawn.values()) - min(drawn.values()) <= 1


def test_an_epoch_follows_seed_and_number_alone() -> None:
    first = [epoch(StyleSampler(whole(10, 6), 2, flip=True, seed=3), number) for number in range(3)]
    again = StyleSampler(whole(10, 6), 2, flip=True, seed=3)
    assert [epoch(again, number) for number in (2, 1, 0)] == first[::-1]
    assert list(again) == first[0]  # and once more
    assert first[0] != first[1] != first[2]
    assert epoch(StyleSampler(whole(10, 6), 2, flip=True, seed=4)) != first[0]


@pytest.mark.parametrize(("processes", "batch"), [(2, 3), (3, 2), (6, 1)])
def test_processes_share_what_one_would_see(processes: int, batch: int) -> None:
    """Step by step, flips and places of the crops too."""
    alone = batches(epoch(StyleSampler(whole(13, 20), 6, flip=True, seed=5), 2), 6)
    parts = [
        batches(epoch(StyleSampler(whole(13, 20), batch, flip=True, seed=5, processes=processes, rank=rank), 2), batch)
        for rank in range(processes)
    ]
    together: list[list[Draw]] = [sum(step, []) for step in zip(*parts, strict=True)]
    assert together == alone


def test_flips_and_places() -> None:
    draws = epoch(StyleSampler(whole(400), 4, flip=True, seed=0))
    assert 150 < sum(draw.flip for draw in draws) < 250
    for places in ([draw.top for draw in draws], [draw.left for draw in draws]):
        assert 0 <= min(places) < 0.05
        assert 0.95 < max(places) < 1
    assert len({draw.top for draw in draws} | {draw.left for draw in draws}) == 800
    assert not any(draw.flip for draw in epoch(StyleSampler(whole(400), 4, flip=False, seed=0)))


def test_an_epoch_takes_the_share_of_each_dataset_and_all_pairs_come_in_time() -> None:
    sampler = StyleSampler([[Part(12), Part(20, 0.25)], [Part(16, 0.5)]], 2, flip=True, seed=0)
    for number in range(3):
        drawn = [(draw.style, draw.row) for draw in epoch(sampler, number)]
        assert len(drawn) == len(set(drawn)) == len(sampler) == 12 + 5 + 8 - 1
        # The second dataset's pairs are counted after the first one's; one pair of the seventeen is left over.
        assert 4 <= sum(style == 0 and row >= 12 for style, row in drawn) <= 5
    seen = {(draw.style, draw.row) for number in range(40) for draw in epoch(sampler, number)}
    assert seen == {(0, row) for row in range(32)} | {(1, row) for row in range(16)}
