"""What every test needs: one thread, reproducible properties, the course's torchaudio finder."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("UNMIX_BUDGET", "smoke")

import browser
import pytest
import torch
from hypothesis import settings

import lib  # noqa: F401  (installs the finder that lets torchaudio load beside a CPU-only torch)

# examples are drawn the same way on every run, and a slow machine is no failure
settings.register_profile("course", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("course")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same global random state, whatever ran before it."""
    torch.manual_seed(0)


class OnMps(torch.Tensor):
    """A tensor that is as poor as on Apple's GPU: it has no float64."""

    device = property(lambda self: torch.device("mps"))

    def cpu(self):
        return self.as_subclass(torch.Tensor)

    def double(self):
        raise TypeError("the MPS framework doesn't support float64")


@pytest.fixture
def on_mps():
    """Dress a tensor as one on Apple's GPU; ``.to`` and new tensors stay on the CPU."""
    return lambda tensor: tensor.as_subclass(OnMps)


@pytest.fixture(scope="module")
def chromium():
    """One headless browser for the tests of a file; without one they are skipped."""
    with browser.chromium() as context:
        yield context


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built pages."""
    from tools.build_site import ROOT, build

    if "UNMIX_SITE" in os.environ:
        return (ROOT / os.environ["UNMIX_SITE"]).resolve()
    out = ROOT / "_build" / "smoke" / "_build"
    assert build(out, "smoke") == 0, "the site does not build without warnings"
    return out / "html"


@pytest.fixture(scope="session")
def address(site):
    """Where the site is served."""
    with browser.serve(site) as url:
        yield url
