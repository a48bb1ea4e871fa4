from pathlib import Path

import pytest

from tests.lit.runs import csv_flags, dreamed, fit, write_photos


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos of 64 px with structure, dreamed with a random SqueezeNet; two of them are for the test."""
    folder = tmp_path_factory.mktemp("lit")
    photos = write_photos(folder / "photos", 8)
    return dreamed(photos, folder / "dataset", "--backbone", "squeezenet1_1", "--test_fraction", "0.25")


@pytest.fixture(scope="session")
def whole_run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four epochs on it; the discriminator joins at half of them. Treat as read-only."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    assert fit(dataset, run_dir) == 0
    return run_dir


@pytest.fixture(scope="session")
def petals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos to train on and four for the test, by half and whole strength, dreamed in MobileNet of a guide."""
    folder = tmp_path_factory.mktemp("petals")
    photos = write_photos(folder / "photos", 12)
    recipe = folder / "petals.yaml"
    recipe.write_text("recipe: distillable\nobjective: guided(block_6_expand_relu, guide)\nsteps: 2\n")
    flags = ["--backbone", "mobilenet_v2", "--recipe", str(recipe), "--guide", str(photos / "00.png")]
    return dreamed(photos, folder / "dataset", *flags, "--strengths", "[0.5, 1]", "--test_fraction", "0.34")


@pytest.fixture(scope="session")
def styles(dataset: Path, petals: Path) -> str:
    """The two datasets as ``--data.dataset`` takes them: the styles distillable and petals."""
    return f"{dataset},{petals}"


@pytest.fixture(scope="session")
def styled_run(styles: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four epochs on both styles, on crops; the discriminator joins at half of them. Treat as read-only."""
    run_dir = tmp_path_factory.mktemp("runs") / "styled"
    assert fit(styles, run_dir, "--data.crop_px", "48", *csv_flags(run_dir)) == 0
    return run_dir
