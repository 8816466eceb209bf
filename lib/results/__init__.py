"""The course's own results: which methods are compared on which mixtures, and the stored scores.

``python data_scripts/make_results.py`` evaluates every method and stores one row per item and
source in ``NAME.csv`` beside this file, with ``NAME.json`` saying how. The book draws its tables
from the stored files, and computes only the clips that a reader hears.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lib.classical import as_separator
from lib.data import NoisySpeech, Songs, ThreeSpeakers, TwoSpeakers
from lib.data.signals import STEMS
from lib.errors import DataError, InputError, require_package
from lib.masks import OracleMask
from lib.models.base import Separator
from lib.stft import STFT

if TYPE_CHECKING:
    import pandas

__all__ = [
    "BENCHMARKS",
    "METHODS",
    "Benchmark",
    "Method",
    "benchmark",
    "methods",
    "stored",
    "stored_card",
]


class Benchmark(NamedTuple):
    """A data set, what is scored on it, and how the estimates are matched to the sources.

    ``sources`` are those that are scored; ``window``, in seconds, is that of the oracles' STFT,
    whose hop is a quarter of it.
    """

    title: str
    dataset: Callable[[], Any]
    metrics: tuple[str, ...]
    sources: tuple[str, ...]
    permute: bool
    window: float = 0.032


class Method(NamedTuple):
    """A row of the tables: ``make(benchmark, dataset)`` gives the separator.

    ``benchmarks`` are those that the method is made for; empty: it stands in all tables.
    """

    label: str
    group: str
    make: Callable[[Benchmark, Any], Callable[..., torch.Tensor]]
    benchmarks: tuple[str, ...] = ()


def _oracle(kind: str, **options: Any) -> Callable[[Benchmark, Any], OracleMask]:
    def make(chosen: Benchmark, dataset: Any) -> OracleMask:
        window = round(chosen.window * dataset.sample_rate)
        return OracleMask(kind, STFT(window, window // 4), **options)

    return make


def _classical(label: str, name: str) -> Method:
    def make(chosen: Benchmark, dataset: Any) -> Callable[..., torch.Tensor]:
        return as_separator(name, dataset.sample_rate)  # what it keeps, and what it takes away

    return Method(label, _CLASSICAL, make, ("noisy_speech", "noisy_speech_8k", "two_speakers"))


def _network(label: str, name: str, benchmark: str) -> Method:
    def make(chosen: Benchmark, dataset: Any) -> Separator:
        return Separator.from_pretrained(name)

    return Method(label, _NETWORKS, make, (benchmark,))


def _unprocessed(chosen: Benchmark, dataset: Any) -> Callable[..., torch.Tensor]:
    """Make the separator that hands out the mixture as the estimate of each source."""
    return lambda mixture: torch.stack([mixture] * len(dataset.source_names), 1)  # (B, S, C, T)


def _excerpts(**options: Any) -> Songs:
    """Excerpts of the test songs, as their mix is, of the rate of the networks for music."""
    return Songs("test", items=100, seed=2024, sample_rate=16000, mono=True, seconds=6.0, **options)


_FLOOR = "Floor: do nothing"
_CLASSICAL = "Without learning"
_NETWORKS = "Networks, which have met none of these recordings"
_CEILING = "Ceiling: masks computed from the true sources"

METHODS: dict[str, Method] = {
    "mixture": Method("Mixture", _FLOOR, _unprocessed),
    "spectral-subtraction": _classical("Spectral subtraction", "spectral-subtraction"),
    "wiener": _classical("Wiener filter", "wiener"),
    "open-unmix-speech-small": _network(
        "Open-Unmix, small", "open-unmix-speech-small", "noisy_speech"
    ),
    "dcunet-small": _network("DCUNet, small", "dcunet-small", "noisy_speech"),
    "dccrn-small": _network("DCCRN, small", "dccrn-small", "noisy_speech"),
    "denoiser-small": _network("Denoiser, causal, small", "denoiser-small", "noisy_speech"),
    "unet-small": _network("U-Net, small", "unet-small", "noisy_speech_8k"),
    "wave-unet-small": _network("Wave-U-Net, small", "wave-unet-small", "noisy_speech_8k"),
    "unet-singing-small": _network("U-Net, small", "unet-singing-small", "singing"),
    "band-split-rnn-small": _network("Band-Split RNN, small", "band-split-rnn-small", "singing"),
    "cunet-small": _network("C-U-Net, small", "cunet-small", "stems"),
    "htdemucs-small": _network("HT Demucs, small", "htdemucs-small", "stems"),
    "deep-clustering-small": _network(
        "Deep clustering, small", "deep-clustering-small", "two_speakers"
    ),
    "upit-blstm-small": _network("uPIT-BLSTM, small", "upit-blstm-small", "two_speakers"),
    "tasnet-small": _network("TasNet-BLSTM, small", "tasnet-small", "two_speakers"),
    "conv-tasnet-causal-small": _network(
        "Conv-TasNet, causal, small", "conv-tasnet-causal-small", "two_speakers"
    ),
    "conv-tasnet-small": _network("Conv-TasNet, small", "conv-tasnet-small", "two_speakers"),
    "dprnn-small": _network("DPRNN, small", "dprnn-small", "two_speakers"),
    "sepformer-small": _network("SepFormer, small", "sepformer-small", "two_speakers"),
    "conv-tasnet-3-speakers-small": _network(
        "Conv-TasNet, small", "conv-tasnet-3-speakers-small", "three_speakers"
    ),
    "irm": Method("Ideal ratio mask (IRM)", _CEILING, _oracle("irm")),
    "ibm": Method("Ideal binary mask (IBM)", _CEILING, _oracle("ibm")),
    "wfm": Method("Wiener-filter-like mask (WFM)", _CEILING, _oracle("wfm")),
    "am": Method("Amplitude mask (AM)", _CEILING, _oracle("am")),
    "psm": Method("Phase-sensitive mask (PSM)", _CEILING, _oracle("psm")),
    "cirm": Method("Complex mask (cIRM), at most 1", _CEILING, _oracle("cirm", bound=1.0)),
}

BENCHMARKS: dict[str, Benchmark] = {
    "noisy_speech": Benchmark(
        "Speech in noise, 16 kHz",
        lambda: NoisySpeech("test", items=100, seed=2024, snr_db=(-5.0, 5.0), seconds=4.0),
        ("si_sdr", "sdr", "stoi", "pesq"),
        ("speech",),
        False,
    ),
    "noisy_speech_8k": Benchmark(
        "Speech in noise, 8 kHz",
        lambda: NoisySpeech(
            "test", items=100, seed=2024, snr_db=(-5.0, 5.0), sample_rate=8000, seconds=4.0
        ),
        ("si_sdr", "sdr", "stoi", "pesq"),
        ("speech",),
        False,
    ),
    "two_speakers": Benchmark(
        "Two speakers, 8 kHz",
        lambda: TwoSpeakers("test", items=100, seed=2024, sample_rate=8000, seconds=4.0),
        ("si_sdr", "sdr", "stoi", "pesq"),
        ("speaker_1", "speaker_2"),
        True,
    ),
    "three_speakers": Benchmark(
        "Three speakers, 8 kHz",
        lambda: ThreeSpeakers("test", items=100, seed=2024, sample_rate=8000, seconds=4.0),
        ("si_sdr", "sdr", "stoi", "pesq"),
        ("speaker_1", "speaker_2", "speaker_3"),
        True,
    ),
    "singing": Benchmark(
        "Singing and accompaniment, 16 kHz",
        lambda: _excerpts(target="vocals"),
        ("si_sdr", "snr"),
        ("vocals",),
        False,
        0.064,
    ),
    "stems": Benchmark(
        "Four stems, 16 kHz",
        _excerpts,
        ("si_sdr", "snr"),
        STEMS,
        False,
        0.064,
    ),
}


def benchmark(name: str) -> Benchmark:
    """Return a benchmark by its name.

    Args:
        name: a key of :data:`BENCHMARKS`.

    Raises:
        InputError: if there is none of that name.

    Example:
        >>> benchmark("two_speakers").title
        'Two speakers, 8 kHz'
    """
    if name not in BENCHMARKS:
        raise InputError(f"benchmark: expected one of {', '.join(BENCHMARKS)}, got {name!r}")
    return BENCHMARKS[name]


def methods(name: str) -> dict[str, Method]:
    """Return the methods of one benchmark, in the order of its table.

    Args:
        name: a key of :data:`BENCHMARKS`.

    Raises:
        InputError: if there is no such benchmark.

    Example:
        >>> "upit-blstm-small" in methods("two_speakers")
        True
    """
    benchmark(name)
    return {
        key: method
        for key, method in METHODS.items()
        if not method.benchmarks or name in method.benchmarks
    }


def _file(name: str, suffix: str) -> str:
    benchmark(name)
    path = importlib.resources.files("lib.results") / f"{name}{suffix}"
    if not path.is_file():
        raise DataError(
            f"results of {name}: expected the file lib/results/{name}{suffix}, found none; "
            "make it with: python data_scripts/make_results.py"
        )
    return str(path)


def stored(name: str) -> pandas.DataFrame:
    """Load the stored scores of a benchmark: one row per item, source and method.

    Args:
        name: a key of :data:`BENCHMARKS`.

    Returns:
        The rows of :func:`lib.evaluation.evaluate` for every method of :func:`methods`.

    Raises:
        InputError: if there is no such benchmark.
        DataError: if its results are not there.

    Example:
        >>> stored("two_speakers")["method"].iloc[0]
        'mixture'
    """
    pandas = require_package("pandas", "reading stored results")
    return pandas.read_csv(_file(name, ".csv"))


def stored_card(name: str) -> dict[str, Any]:
    """Say how stored scores came about: command, data, versions, machine, date.

    Args:
        name: a key of :data:`BENCHMARKS`.

    Raises:
        InputError: if there is no such benchmark.
        DataError: if its results are not there.

    Example:
        >>> stored_card("two_speakers")["items"]
        100
    """
    with open(_file(name, ".json"), encoding="utf-8") as file:
        return json.load(file)
