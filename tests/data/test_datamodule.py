"""The loaders of training and validation: pixels, order, crops, and what a resumed run sees."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dreamgan.data.datamodule import DreamPairs
from dreamgan.data.draws import StyleSampler
from dreamgan.data.pairs import load_pairs
from dreamgan.errors import UserError
from tests.data.pair_files import SIDE, build, numbers, pair, values

# What Lightning itself sets off: its own use of torch's pytree, and its advice on workers.
quiet_lightning = pytest.mark.filterwarnings(
    r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning",
    "ignore:.*does not have many workers:UserWarning",
)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    test = [pair(50 + number, second=number != 2) for number in range(5)]
    return build(tmp_path, [pair(number) for number in range(10)], test)


def ready(dataset: str, **options: Any) -> DreamPairs:
    module = DreamPairs(dataset, **options)
    module.setup("fit")
    return module


def epoch(module: DreamPairs, number: int) -> list[tuple[int, bool]]:
    loader = module.train_dataloader()
    assert isinstance(loader.sampler, StyleSampler)
    loader.sampler.set_epoch(number)
    return [item for batch in loader for item in numbers(batch)]


@pytest.mark.parametrize("cache_mib", [0, 64])
def test_batches_hold_the_pixels_of_the_dataset(dataset: str, cache_mib: int) -> None:
    batch = next(iter(ready(dataset, batch_size=4, flip=False, cache_mib=cache_mib).train_dataloader()))
    assert set(batch) == {"photo", "dream", "style", "strength"}
    assert batch["style"].tolist() == [0] * 4
    assert batch["strength"].tolist() == [1] * 4
    assert (batch["style"].dtype, batch["strength"].dtype) == (torch.int64, torch.float32)
    for kind, name in enumerate(("photo", "dream")):
        assert batch[name].shape == (4, 3, SIDE, SIDE)
        assert batch[name].dtype == torch.float32
        for picture, (number, _) in zip(batch[name], numbers(batch), strict=True):
            wanted = torch.from_numpy(values(number, kind)).permute(2, 0, 1) / 255
            assert torch.equal(picture, wanted)


def test_flips_are_applied_to_photo_and_dream_alike(dataset: str) -> None:
    seen = set()
    for batch in ready(dataset, batch_size=5).train_dataloader():
        for photo, dream, (number, flipped) in zip(batch["photo"], batch["dream"], numbers(batch), strict=True):
            seen.add(flipped)
            for picture, kind in ((photo, 0), (dream, 1)):
                wanted = torch.from_numpy(values(number, kind)).permute(2, 0, 1) / 255
                assert torch.equal(picture, wanted.flip(-1) if flipped else wanted)
    assert seen == {False, True}


def test_a_crop_of_the_whole_size_cuts_nothing(dataset: str) -> None:
    module = ready(dataset, batch_size=5, crop_px=32, flip=False)
    whole = next(iter(module.train_dataloader()))
    assert whole["photo"].shape == (5, 3, 32, 32)  # as large as the pictures: nothing is cut


def test_crops_lie_anywhere(tmp_path: Path) -> None:
    """Found again in the pictures that they were cut from, mirrored or not."""
    name = build(tmp_path, [pair(number, side=36) for number in range(40)], [pair(50, side=36)])
    module = ready(name, batch_size=4, crop_px=32)
    places = set()
    for batch in module.train_dataloader():
        assert batch["photo"].shape == batch["dream"].shape == (4, 3, 32, 32)
        for photo, dream in zip(batch["photo"], batch["dream"], strict=True):
            places.add(place_of(photo, dream))
    tops, lefts, flips = zip(*places, strict=True)
    assert set(tops) == set(lefts) == {0, 1, 2, 3, 4}
    assert set(flips) == {False, True}
    # Validation is of whole pictures.
    (loader,) = module.val_dataloader()
    assert next(iter(loader))["photo"].shape == (1, 3, 36, 36)


def place_of(photo: Tensor, dream: Tensor) -> tuple[int, int, bool]:
    for number in range(40):
        pictures = [torch.from_numpy(values(number, kind, 36)).permute(2, 0, 1) / 255 for kind in (0, 1)]
        for flip in (False, True):
            for top in range(5):
                for left in range(5):
                    cuts = [picture[:, top : top + 32, left : left + 32] for picture in pictures]
                    cuts = [cut.flip(-1) if flip else cut for cut in cuts]
                    if torch.equal(cuts[0], photo):
                        assert torch.equal(cuts[1], dream)
                        return top, left, flip
    raise AssertionError("cut from no picture")


def test_order_and_flips_follow_seed_and_epoch_alone(dataset: str) -> None:
    module = ready(dataset, batch_size=2, seed=3)
    first = [epoch(module, number) for number in range(3)]
    assert sorted(number for number, _ in first[0]) == list(range(10))
    assert first[0] != first[1] != first[2]
    again = ready(dataset, batch_size=2, seed=3, cache_mib=0)
    assert [epoch(again, number) for number in (2, 1, 0)] == first[::-1]
    assert epoch(ready(dataset, batch_size=2, seed=4), 0) != first[0]


def test_every_process_takes_its_part_of_a_batch(dataset: str) -> None:
    whole = epoch(ready(dataset, batch_size=4), 0)
    parts = []
    for rank in (0, 1):
        module = ready(dataset, batch_size=2)
        module.trainer = SimpleNamespace(world_size=2, global_rank=rank)  # type: ignore[assignment]
        parts.append(epoch(module, 0))
    steps = [parts[rank][start : start + 2] for start in (0, 2) for rank in (0, 1)]
    assert sum(steps, []) == whole


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4]), (5, [5, 5]), (10, [10]), (16, [16])])
def test_a_short_last_batch_is_left_out_and_filled_up_where_it_is_the_only_one(
    dataset: str, batch_size: int, sizes: list[int]
) -> None:
    loader = ready(dataset, batch_size=batch_size).train_dataloader()
    assert [len(batch["photo"]) for batch in loader] == sizes


def test_validation_is_in_order_and_of_pairs_with_a_second_dream(dataset: str) -> None:
    (loader,) = ready(dataset, batch_size=8).val_dataloader()
    for _ in range(2):
        (batch,) = list(loader)
        assert [number for number, _ in numbers(batch)] == [50, 51, 53, 54]
        assert batch["has_second"].tolist() == [True] * 4
        wanted = torch.from_numpy(values(53, 2)).permute(2, 0, 1) / 255
        assert torch.equal(batch["second_dream"][2], wanted)


def test_validation_pairs_are_spread_over_the_split(dataset: str) -> None:
    (loader,) = ready(dataset, val_pairs=2).val_dataloader()
    (batch,) = loader
    assert [number for number, _ in numbers(batch)] == [50, 53]
    assert ready(dataset, val_pairs=0).val_dataloader() == []


def test_one_pair_is_too_few_to_validate_on(tmp_path: Path, dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="val_pairs is 1, and one pair cannot be measured"):
        ready(dataset, val_pairs=1)
    ready(build(tmp_path / "other", [pair(0)], [pair(1)]))
    assert "has one pair to validate on, too few to measure" in capsys.readouterr().err


def test_without_any_second_dream_validation_takes_what_there_is(tmp_path: Path) -> None:
    (loader,) = ready(build(tmp_path, [pair(0)], [pair(1), pair(2)])).val_dataloader()
    (batch,) = loader
    assert batch["has_second"].tolist() == [False, False]
    assert batch["second_dream"].abs().max() == 0


def test_workers_give_the_same_under_warnings_as_errors(dataset: str) -> None:
    wanted = epoch(ready(dataset, batch_size=5), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert epoch(ready(dataset, batch_size=5, num_workers=1), 1) == wanted


def test_a_hub_dataset_without_a_test_split_is_trained_on(dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = load_pairs(dataset, "train")
    monkeypatch.setattr("dreamgan.data.pairs.ask_hub", lambda name: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: {"train": rows}[split])
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda name: ["train"])
    module = ready("somebody/dreams")
    assert module.train_pairs is not None
    assert [len(pictures) for pictures in module.train_pairs.styles] == [10]
    assert module.val_dataloader() == []


def test_every_recipe_is_a_style_and_validated_on_its_whole_dreams(tmp_path: Path) -> None:
    ways = [("eyes", 1.0), ("fur", 1.0), ("eyes", 0.5), ("eyes", 1.0), ("fur", 1.0), ("eyes", 0.5)]
    train = [pair(number, recipe=recipe, strength=strength) for number, (recipe, strength) in enumerate(ways)]
    test = [pair(50, recipe="fur"), pair(51, recipe="fur", strength=0.5), pair(52, recipe="fur")]
    module = ready(build(tmp_path, train, test), batch_size=2, flip=False)
    seen = []
    for batch in module.train_dataloader():
        (style,) = set(batch["style"].tolist())
        found = zip(numbers(batch), batch["strength"].tolist(), strict=True)
        seen += [(style, number, strength) for (number, _), strength in found]
    assert sorted(seen) == [(0, 0, 1), (0, 2, 0.5), (0, 3, 1), (0, 5, 0.5), (1, 1, 1), (1, 4, 1)]
    (loader,) = module.val_dataloader()  # no test photo was dreamed as eyes
    (batch,) = loader
    assert [number for number, _ in numbers(batch)] == [50, 52]
    assert batch["style"].tolist() == [1, 1]
    fur = ready(str(tmp_path / "dreams"), recipe="fur", batch_size=2, flip=False)
    assert [style.name for style in fur.styles()] == ["fur"]
    assert {number for number, _ in epoch(fur, 0)} == {1, 4}


def test_several_datasets_of_one_style(tmp_path: Path) -> None:
    one = build(tmp_path / "one", [pair(0), pair(1)], [pair(50)])
    two = build(tmp_path / "two", [pair(2), pair(3, strength=0.5)], [pair(51), pair(52)])
    module = ready(f"{one}, {two}", batch_size=1, flip=False)
    assert {number for number, _ in epoch(module, 0)} == {0, 1, 2, 3}
    strengths = {numbers(batch)[0][0]: float(batch["strength"]) for batch in module.train_dataloader()}
    assert strengths == {0: 1, 1: 1, 2: 1, 3: 0.5}
    small = build(tmp_path / "small", [pair(4, side=40)], [])
    with pytest.raises(UserError, match=f"the pictures of {small} are 40x40 px, those of {one} 32x32; make them again"):
        ready(f"{one},{small}")


def test_an_epoch_takes_a_share_of_each_dataset(tmp_path: Path) -> None:
    one = build(tmp_path / "one", [pair(number) for number in range(8)], [])
    two = build(tmp_path / "two", [pair(number, recipe="fur") for number in range(8, 16)], [])
    more = build(tmp_path / "more", [pair(number, strength=0.5) for number in range(16, 24)], [])
    module = ready(f"{one},{two},{more}", shares="1, 0.5,0.25", batch_size=1)
    drawn = [numbers(batch)[0][0] for batch in module.train_dataloader()]
    assert sorted(sum(number // 8 == dataset for number in drawn) for dataset in range(3)) == [2, 4, 8]
    assert sum(number < 8 for number in drawn) == 8
    for shares in ("1,0.5", "1,0.5,0", "1,1,1.5", "1,1,x", "1,1,nan"):
        with pytest.raises(UserError, match="for each of the 3 datasets"):
            DreamPairs(f"{one},{two},{more}", shares=shares)


def test_styles_may_differ_in_size(tmp_path: Path) -> None:
    one = build(tmp_path / "one", [pair(0), pair(1)], [])
    two = build(tmp_path / "two", [pair(number, side=40, recipe="fur") for number in (2, 3)], [])
    sides = {int(batch["style"][0]): batch["photo"].shape[-1] for batch in ready(f"{one},{two}").train_dataloader()}
    assert sides == {0: 32, 1: 40}
    loader = ready(f"{one},{two}", crop_px=32).train_dataloader()
    assert [batch["photo"].shape[-1] for batch in loader] == [32, 32]
    with pytest.raises(UserError, match="crop_px is 36, and the pictures are only 32 px"):
        ready(f"{one},{two}", crop_px=36)


def test_senseless_numbers_and_wrong_order_are_refused(dataset: str) -> None:
    with pytest.raises(UserError, match="batch_size is 0"):
        DreamPairs(dataset, batch_size=0)
    with pytest.raises(UserError, match="crop_px is 31; it must be at least 32"):
        DreamPairs(dataset, crop_px=31)
    with pytest.raises(UserError, match="seed is -1; it must be at least 0"):
        DreamPairs(dataset, seed=-1)
    with pytest.raises(RuntimeError, match="setup"):
        DreamPairs(dataset).train_dataloader()


class Recorder(LightningModule):
    """Learns one number and writes down what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, int, bool]] = []
        self.validated = 0

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        self.seen += [(self.current_epoch, *item) for item in numbers(batch)]
        return (batch["dream"] - batch["photo"] * self.weight).square().mean()

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        self.validated += len(batch["photo"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(dataset: str, folder: Path, epochs: int, resume: Path | None = None) -> tuple[Recorder, Trainer]:
    model = Recorder()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(model, datamodule=DreamPairs(dataset, batch_size=3, seed=1), ckpt_path=resume)
    return model, trainer


@quiet_lightning
def test_a_resumed_run_sees_what_the_uninterrupted_one_saw(dataset: str, tmp_path: Path) -> None:
    whole, _ = fit(dataset, tmp_path, 4)
    _, trainer = fit(dataset, tmp_path, 2)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    rest, _ = fit(dataset, tmp_path, 4, resume=tmp_path / "half.ckpt")
    assert rest.seen == [item for item in whole.seen if item[0] >= 2]
    assert torch.equal(rest.weight, whole.weight)
    assert len({tuple(item[1:] for item in whole.seen if item[0] == e) for e in range(4)}) == 4
    assert whole.validated > 0


@quiet_lightning
def test_lightning_trains_without_a_test_split(tmp_path: Path) -> None:
    name = build(tmp_path, [pair(number) for number in range(4)], [])
    with pytest.warns(UserWarning, match="Total length of `list` across ranks is zero"):
        model, _ = fit(name, tmp_path, 1)
    assert len(model.seen) == 3
    assert model.validated == 0
