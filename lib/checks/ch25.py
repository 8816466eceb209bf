"""Checks of chapter 25: bands and their widths, the size of a network, where a source is heard."""

from __future__ import annotations

import math
import random

import torch

from lib.checks import CheckFailed, NotAttempted, equal, exercise, holds
from lib.data.activity import salient_segments
from lib.models.band_split_rnn import SCHEMES, TargetNetwork
from lib.nn.bands import band_widths

# ------------------------------------------------------------------ 1


def _split(scheme, bins: int, sample_rate: int, rounded) -> list[int]:
    """Widths, with another rounding."""
    found, left = [], bins
    for hertz, count in scheme:
        width = rounded(hertz / (sample_rate / 2) * bins)
        for _ in range(count if width else 0):
            found += [min(width, left)] if left else []
            left -= min(width, left)
    return [*found, left] if left else found


def _widths_hint(got: list[int], scheme, bins: int, sample_rate: int, right: list[int]) -> str:
    """Which mistake gives these widths, if it is a known one."""
    if got == right[:-1]:
        return "What the scheme leaves above is one more band."
    if got in [_split(scheme, bins, sample_rate, how) for how in (round, math.ceil)]:
        return "Round down: a band gets no bin that lies partly beyond it."
    if min(got, default=0) < 1:
        return "Bands above the highest bin are left out, and the last ends with it."
    if len(got) == len(right) + 1:
        return "What is left above is one band, however wide."
    return "A width of h Hz is floor(h / (rate / 2) * bins) bins."


@exercise("ch25.widths")
def widths(answer):
    """The seven splits of the paper, those of bass and drums, and drawn ones at other rates."""
    cases = [(name, SCHEMES[name], 1025, 44_100) for name in [*SCHEMES][:7] + ["bass", "drums"]]
    for number in range(8):
        scheme = [(random.randint(60, 900), random.randint(1, 12)) for _ in range(3)]
        rate = random.choice([8000, 16_000, 22_050, 44_100])
        cases.append((f"drawn {number + 1}", scheme, random.choice([257, 513, 1025]), rate))
    counts = []
    for name, scheme, bins, rate in cases:
        got = answer(list(scheme), bins, rate)
        if got is None:
            raise NotAttempted
        what = f"{name}, {scheme} of {bins} bins at {rate} Hz"
        try:
            got = [int(width) for width in got]
        except TypeError as error:
            raise CheckFailed(f"{what}: expected a list of widths, got {got!r}") from error
        right = band_widths(scheme, bins, rate)
        hint = _widths_hint(got, scheme, bins, rate, right)
        equal(len(got), len(right), f"{what}: the number of bands", hint=hint)
        equal(
            sum(got), bins, f"{what}: the bins of all bands", hint="Every bin in exactly one band."
        )
        equal(got, right, f"{what}: the widths", hint=hint)
        counts.append(len(right))
    return f"V1 to V7 have {', '.join(map(str, counts[:7]))} bands; 8 others"


# ------------------------------------------------------------------ 2


def parameters_of(sizes: list[int], channels: int, hidden: int, layers: int) -> int:
    """Count the parameters of a network for one source, without making it.

    Args:
        sizes: bins of the bands.
        channels: N.
        hidden: units of an LSTM, per direction.
        layers: pairs of LSTMs.

    Example:
        >>> from lib.models import BandSplitRNN
        >>> model = BandSplitRNN.tiny()
        >>> sizes = model.masker.networks[0].widths
        >>> parameters_of(sizes, 8, 16, 1) == sum(one.numel() for one in model.parameters())
        True
    """
    with torch.device("meta"):
        network = TargetNetwork(sizes, channels, hidden, layers)
    return sum(weights.numel() for weights in network.parameters())


def _count_hint(got: int, sizes: list[int], channels: int, hidden: int, layers: int) -> str:
    """What is missing or too much, if it is a known part."""
    bands, bins, wide, paths = len(sizes), sum(sizes), 4 * channels, 2 * layers
    one_way = 4 * hidden * (channels + hidden) + 8 * hidden
    back = 2 * hidden * channels + channels
    right = parameters_of(sizes, channels, hidden, layers)
    too_few = {
        "An LSTM of PyTorch has two biases for each gate.": paths * 2 * 4 * hidden,
        "The four gates of an LSTM have biases, two each.": paths * 2 * 8 * hidden,
        "The LSTMs read in both directions.": paths * one_way,
        "There are two LSTMs in a layer: along time, and across the bands.": layers
        * (2 * channels + 2 * one_way + back),
        "Behind each LSTM a layer brings both directions back to N channels.": paths * back,
        "Each LSTM has a norm before it.": paths * 2 * channels,
        "Each band begins with a norm over its 2 G numbers.": 4 * bins,
        "The layer that brings a band to N channels has a bias.": channels * bands,
        "Each band has a norm before its mask, too.": 2 * channels * bands,
        "The masks have two hidden layers of 4 N.": bands * (wide * wide + wide),
        "The layers of the masks have biases.": bands * 2 * wide + 4 * bins,
        "A gated layer has twice as many outputs.": 2 * bins * (wide + 1),
    }
    for hint, missing in too_few.items():
        if right - got == missing:
            return hint
    return "Norms, split, LSTMs and the layers behind them, norms, masks: which of them is wrong?"


@exercise("ch25.parameters")
def parameters(answer):
    """The three published networks, then drawn ones."""
    cases = []
    for name in ("vocals", "bass", "drums"):
        cases.append((name, band_widths(SCHEMES[name], 1025, 44_100), 128, 256, 12))
    for number in range(5):
        sizes = [random.randint(1, 40) for _ in range(random.randint(2, 12))]
        channels, hidden = random.randint(4, 40), random.randint(3, 50)
        cases.append((f"drawn {number + 1}", sizes, channels, hidden, random.randint(1, 5)))
    for name, *settings in cases:
        got = answer(*settings)
        if got is None:
            raise NotAttempted
        sizes, channels, hidden, layers = settings
        what = (
            f"{name}: {len(sizes)} bands of {sum(sizes)} bins, N = {channels}, {hidden} units, "
            f"{layers} layers"
        )
        hint = _count_hint(got, *settings) if isinstance(got, (int, float)) else ""
        equal(got, parameters_of(*settings), what, hint=hint)
    return "the three published networks, to the last parameter, and 5 others"


# ------------------------------------------------------------------ 3


def _salient(track: torch.Tensor, seconds: float, threshold) -> list[int]:
    """Salient segments of a track at 1 kHz, with another threshold for energies (segments, 10)."""
    size = round(1000 * seconds)
    chunks = track.unfold(-1, size, size // 2).unflatten(-1, (10, -1))  # (C, segments, 10, size/10)
    energies = chunks.square().mean((0, -1)).sqrt()
    heard = (energies > threshold(energies)).sum(-1) > 5
    return (heard.nonzero()[:, 0] * (size // 2)).tolist()


def _salient_hint(got: list[int], track: torch.Tensor, seconds: float, right: list[int]) -> str:
    """Which mistake gives these segments, if it is a known one."""
    thresholds = {
        "Where all is soft, the threshold is 1e-3, for the mean over channels, not their sum.": (
            lambda energies: energies.quantile(0.15)
        ),
        "One threshold for the whole track, not for each segment.": lambda energies: (
            energies.quantile(0.15, 1, keepdim=True).clamp_min(1e-3)
        ),
        "The threshold is the energy that 15 % of the chunks do not reach.": lambda energies: (
            energies.quantile(0.5).clamp_min(1e-3)
        ),
        "15 % of the chunks lie below the threshold, not above it.": lambda energies: (
            energies.quantile(0.85).clamp_min(1e-3)
        ),
    }
    for hint, threshold in thresholds.items():
        if got == _salient(track, seconds, threshold):
            return hint
    if any(place % round(500 * seconds) for place in got):
        return "Segments begin at multiples of half of their length."
    if right and got and not any(place % round(1000 * seconds) for place in got):
        return "Segments overlap by half, so they begin twice as often."
    return (
        "Half overlap, 10 chunks, one threshold from the chunks of all segments, more than half of "
        "them above it."
    )


def _track(kind: int) -> torch.Tensor:
    """A track in stereo at 1 kHz: stretches of several levels, from silence to full."""
    levels = [
        [0.0, 0.3, 0.3, 0.0, 0.1, 0.0, 0.0, 0.3],  # a voice that pauses
        [0.3, 0.2, 0.3, 0.25, 0.3, 0.2, 0.3, 0.1],  # drums that never do
        [0.0, 0.0, 0.0, 2e-3, 0.0, 0.0, 8e-4, 0.0],  # next to nothing
        [0.4, 0.01, 0.01, 0.4, 0.02, 0.01, 0.01, 0.4],  # a loud chorus, soft verses
        [0.0] * 8,  # silence
    ][kind]
    pieces = [level * torch.randn(2, random.randint(900, 2600)) for level in levels]
    return torch.cat(pieces, 1).double()


@exercise("ch25.salient")
def salient(answer):
    """Five kinds of tracks, four of each, segments of two lengths; then a track that is shorter."""
    names = ("a voice with pauses", "drums", "next to nothing", "a chorus", "silence")
    for kind, name in 4 * [*enumerate(names)]:
        track = _track(kind)
        for seconds in (1.0, 2.0):
            got = answer(track.clone(), 1000, seconds)
            if got is None:
                raise NotAttempted
            what = f"{name}, segments of {seconds:g} s: where they begin"
            try:
                got = [int(place) for place in got]
            except TypeError as error:
                raise CheckFailed(f"{what}: expected a list of samples, got {got!r}") from error
            right = salient_segments(track, 1000, seconds)
            hint = _salient_hint(got, track, seconds, right)
            equal(got, right, what, hint=hint)
    short = torch.ones(2, 900, dtype=torch.float64)
    holds(
        list(answer(short, 1000, 1.0)) == [],
        "a track of 0.9 s, segments of 1 s: expected none",
        hint="A segment that the track does not fill is none.",
    )
    return "20 tracks, with segments of 1 and 2 s"
