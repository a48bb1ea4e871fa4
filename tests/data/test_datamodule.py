import dataclasses
import warnings
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from dreamgan.data.datamodule import DreamPairs, FlippingSampler
from dreamgan.data.pairs import Pair, compact, load_pairs, write_unit
from dreamgan.errors import UserError

SIDE = 32

# What Lightning itself sets off: its own use of torch's pytree, and its advice on workers.
quiet_lightning = pytest.mark.filterwarnings(
    r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning",
    "ignore:.*does not have many workers:UserWarning",
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")


def values(number: int, kind: int, side: int = SIDE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture whose first pixels say which it is, whether mirrored or not."""
    found = np.random.default_rng([number, kind]).integers(0, 256, (side, side, 3), dtype=np.uint8)
    found[:, 0] = number
    found[:, -1] = number + 100
    return found


def pair(
    number: int, *, second: bool = False, side: int = SIDE, recipe: str = "distillable", strength: float = 1.0
) -> Pair:
    photo, dream, again = (Image.fromarray(values(number, kind, side)) for kind in range(3))
    return Pair(
        photo=photo,
        dream=dream,
        second_dream=again if second else None,
        label="",
        photo_id=f"photo-{number}",
        source_id=f"photo-{number}",
        photo_sha256="",
        recipe=recipe,
        strength=strength,
        recipe_json='{"octaves": 3}',
        backbone="squeezenet1_1",
        layers=("features.9", "features.12"),
        weights="mine",
        weights_sha256="cd" * 32,
        guides={},
        seed=0,
        second_seed=1 if second else None,
        score_before=0.0,
        score_after=1.0,
    )


def build(folder: Path, train: list[Pair], test: list[Pair]) -> str:
    write_unit(folder / "a.parquet", train, "train")
    write_unit(folder / "b.parquet", test, "test")
    compact([folder / "a.parquet", folder / "b.parquet"], folder / "dreams" / "data", labels=())
    return str(folder / "dreams")


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    test = [pair(50 + number, second=number != 2) for number in range(5)]
    return build(tmp_path, [pair(number) for number in range(10)], test)


def ready(dataset: str, **options: Any) -> DreamPairs:
    module = DreamPairs(dataset, **options)
    module.setup("fit")
    return module


def numbers(batch: dict[str, Tensor]) -> list[tuple[int, bool]]:
    """Row number and whether it is mirrored, read from the pictures themselves."""
    edge = (batch["photo"][:, 0, 0, 0] * 255).round().int().tolist()
    return [(value, False) if value < 100 else (value - 100, True) for value in edge]


def epoch(module: DreamPairs, number: int) -> list[tuple[int, bool]]:
    loader = module.train_dataloader()
    assert isinstance(loader.sampler, FlippingSampler)
    loader.sampler.set_epoch(number)
    return [item for batch in loader for item in numbers(batch)]


@pytest.mark.parametrize("cache_mib", [0, 64])
def test_batches_hold_the_pixels_of_the_dataset(dataset: str, cache_mib: int) -> None:
    batch = next(iter(ready(dataset, batch_size=4, flip=False, cache_mib=cache_mib).train_dataloader()))
    assert set(batch) == {"photo", "dream"}
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


def test_order_and_flips_follow_seed_and_epoch_alone(dataset: str) -> None:
    module = ready(dataset, batch_size=2, seed=3)
    first = [epoch(module, number) for number in range(3)]
    assert sorted(number for number, _ in first[0]) == list(range(10))
    assert first[0] != first[1] != first[2]
    again = ready(dataset, batch_size=2, seed=3, cache_mib=0)
    assert [epoch(again, number) for number in (2, 1, 0)] == first[::-1]
    assert epoch(ready(dataset, batch_size=2, seed=4), 0) != first[0]


def test_two_processes_share_an_epoch_without_overlap(dataset: str) -> None:
    pairs = ready(dataset).train_pairs
    assert pairs is not None
    alone = list(FlippingSampler(pairs, flip=True, seed=0))
    parts = [list(FlippingSampler(pairs, flip=True, seed=0, num_replicas=2, rank=rank)) for rank in (0, 1)]
    assert sorted(parts[0] + parts[1]) == sorted(alone)


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4]), (5, [5, 5]), (10, [10]), (64, [10])])
def test_a_short_last_batch_is_left_out_unless_it_is_the_only_one(
    dataset: str, batch_size: int, sizes: list[int]
) -> None:
    loader = ready(dataset, batch_size=batch_size).train_dataloader()
    assert [len(batch["photo"]) for batch in loader] == sizes


def test_validation_is_in_order_and_knows_where_a_second_dream_is_missing(dataset: str) -> None:
    loader = ready(dataset, batch_size=8).val_dataloader()
    for _ in range(2):
        (batch,) = list(loader)
        assert [number for number, _ in numbers(batch)] == [50, 51, 52, 53, 54]
        assert batch["has_second"].tolist() == [True, True, False, True, True]
        wanted = torch.from_numpy(values(53, 2)).permute(2, 0, 1) / 255
        assert torch.equal(batch["second_dream"][3], wanted)
        assert batch["second_dream"][2].abs().max() == 0


def test_validation_pairs_are_spread_over_the_split(dataset: str) -> None:
    (batch,) = list(ready(dataset, val_pairs=2).val_dataloader())
    assert [number for number, _ in numbers(batch)] == [50, 52]
    assert ready(dataset, val_pairs=0).val_dataloader() == []


def test_workers_give_the_same_under_warnings_as_errors(dataset: str) -> None:
    wanted = epoch(ready(dataset, batch_size=5), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert epoch(ready(dataset, batch_size=5, num_workers=1), 1) == wanted


def test_pictures_of_different_sizes_are_refused(tmp_path: Path) -> None:
    odd = dataclasses.replace(pair(1), dream=pair(1, side=40).dream)
    name = build(tmp_path, [pair(0), odd], [])
    said = "the dream of 'photo-1' is 40x40 px, the first photo 32x32"
    with pytest.raises(UserError, match=said):
        ready(name, cache_mib=64)
    # A large dataset is not read once before every training: the rows are looked at as they come.
    pairs = ready(name, cache_mib=0).train_pairs
    assert pairs is not None
    assert pairs[0]["dream"].shape == (3, SIDE, SIDE)
    with pytest.raises(UserError, match=said):
        pairs[1]


@pytest.mark.parametrize("cache_mib", [0, 64])
def test_the_first_row_is_looked_at_before_training(tmp_path: Path, cache_mib: int) -> None:
    odd = dataclasses.replace(pair(0), dream=pair(0, side=40).dream)
    with pytest.raises(UserError, match="the dream of 'photo-0' is 40x40 px, the first photo 32x32"):
        ready(build(tmp_path, [odd, pair(1)], []), cache_mib=cache_mib)


def test_a_hub_dataset_without_a_test_split_is_trained_on(dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = load_pairs(dataset, "train")
    monkeypatch.setattr("dreamgan.data.pairs.ask_hub", lambda name: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: {"train": rows}[split])
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda name: ["train"])
    module = ready("somebody/dreams")
    assert module.train_pairs is not None
    assert len(module.train_pairs) == 10
    assert module.val_dataloader() == []


def test_recipe_facts_say_what_was_dreamed(dataset: str) -> None:
    assert DreamPairs(dataset).recipe_facts() == {
        "recipe": "distillable",
        "recipe_json": '{"octaves": 3}',
        "backbone": "squeezenet1_1",
        "layers": ("features.9", "features.12"),
        "weights_sha256": "cd" * 32,
        "seed": 0,
        "size_px": SIDE,
    }


def test_of_several_recipes_one_is_learnt_and_of_it_the_whole_dreams(tmp_path: Path) -> None:
    ways = [("eyes", 1.0), ("fur", 1.0), ("eyes", 0.5), ("eyes", 1.0), ("fur", 1.0)]
    mixed = [pair(number, recipe=recipe, strength=strength) for number, (recipe, strength) in enumerate(ways)]
    dataset = build(tmp_path, mixed, [pair(9, recipe="fur")])
    with pytest.raises(UserError, match="holds several recipes; choose with --data.recipe: eyes, fur"):
        ready(dataset)
    with pytest.raises(UserError, match="has no recipe 'scales', only eyes, fur"):
        ready(dataset, recipe="scales")
    eyes = ready(dataset, recipe="eyes", batch_size=1, flip=False)
    assert {number for number, _ in epoch(eyes, 0)} == {0, 3}
    assert eyes.recipe_facts()["recipe"] == "eyes"
    assert eyes.val_dataloader() == []  # no test photo was dreamed so
    fur = ready(dataset, recipe="fur", batch_size=1, flip=False)
    assert {number for number, _ in epoch(fur, 0)} == {1, 4}
    assert len(fur.val_dataloader()) == 1
    (tmp_path / "half").mkdir()
    half = build(tmp_path / "half", [pair(0, strength=0.5)], [pair(1)])
    with pytest.raises(UserError, match="has no whole dreams of 'distillable': add 1 to its strengths"):
        ready(half)


def test_senseless_numbers_and_wrong_order_are_refused(dataset: str) -> None:
    with pytest.raises(UserError, match="batch_size is 0"):
        DreamPairs(dataset, batch_size=0)
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
