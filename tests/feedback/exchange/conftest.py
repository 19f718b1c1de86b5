"""Empty stores for tests that need many of them."""

import shutil
from collections.abc import Callable
from itertools import count

import pytest

from accord.feedback.store import Store


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Store]:
    """Makes empty stores, each a copy of the first: making the tables takes longer than the rest of an example."""
    folder = tmp_path_factory.mktemp("stores")
    Store(f"sqlite:///{folder / '0.db'}").close()
    numbers = count(1)

    def make() -> Store:
        copy = folder / f"{next(numbers)}.db"
        shutil.copy(folder / "0.db", copy)
        return Store(f"sqlite:///{copy}")

    return make
