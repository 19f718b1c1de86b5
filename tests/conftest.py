"""What every test stands on: one thread, and shapes checked at every call.

Importing `accord` goes through jaxtyping and beartype here, so an annotation such as `Float[Tensor, "query member"]`
that does not hold fails the test that met it. Warnings are errors (pyproject.toml lists the exceptions with reasons).
"""

import os
import shutil
import typing
from collections.abc import Iterator

# Before torch is imported: a test machine has few cores, and results must not depend on how many.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

torch.set_num_threads(1)

# No deadlines: the first call of a function pays for beartype's checks, and no test is timed.
settings.register_profile("accord", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("accord")

# beartype checks a Protocol by isinstance, which Python refuses unless the Protocol asks for it. Those of
# `accord.types` do; only tests need it of the rest, so they ask for all at once.
typing.Protocol._is_runtime_protocol = True

# The numeric tower of PEP 484: a whole number is a number.
install_import_hook("accord", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture
def browser() -> Iterator[typing.Any]:
    """A real browser, for pages that are to be looked at; the test is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: the page was not looked at in a browser.")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()
