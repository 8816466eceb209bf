"""Chapter 25: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import math

from worked import ch25

from lib.checks.ch25 import parameters_of
from lib.data.activity import salient_segments
from lib.nn.bands import band_widths

salient = ch25.heard_in


def widths(scheme, bins, sample_rate, rounded=math.floor):
    found, left = [], bins
    for hertz, count in scheme:
        width = rounded(hertz / (sample_rate / 2) * bins)
        for _ in range(count):
            if left:
                found.append(min(width, left))
                left -= found[-1]
    return [*found, left] if left else found


def _on_and_on(scheme, bins, sample_rate):
    found = [
        math.floor(hertz / (sample_rate / 2) * bins)
        for hertz, count in scheme
        for _ in range(count)
    ]
    return [*found, bins - sum(found)]


def _in_pieces(scheme, bins, sample_rate):
    *found, last = widths(scheme, bins, sample_rate)
    return [*found, last - 1, 1]


def parameters(sizes, channels, hidden, layers, **factors):
    """Count; `factors` say which parts count more or less than once."""
    bands, bins = len(sizes), sum(sizes)
    part = {
        "band norm": 4 * bins,
        "split": 2 * bins * channels,
        "split bias": bands * channels,
        "path norms": layers * 2 * 2 * channels,
        "gates": layers * 2 * 2 * 4 * hidden * (channels + hidden),
        "gate biases": layers * 2 * 2 * 8 * hidden,
        "back": layers * 2 * (2 * hidden * channels + channels),
        "mask norm": 2 * channels * bands,
        "mask layers": bands * (4 * channels**2 + 16 * channels**2),
        "mask biases": bands * 2 * 4 * channels,
        "gated": 4 * channels * 4 * bins,
        "gated biases": 4 * bins,
    }
    return round(sum(size * factors.get(name.replace(" ", "_"), 1) for name, size in part.items()))


def _with(**factors):
    return lambda *settings: parameters(*settings, **factors)


def _side_by_side(waveform, sample_rate, seconds):
    return [
        start
        for start in salient(waveform, sample_rate, seconds)
        if not start % int(1000 * seconds)
    ]


def _with_threshold(of):
    """Active segments, with another threshold for levels (segments, 10)."""

    def found(waveform, sample_rate, seconds):
        size = round(seconds * sample_rate)
        if waveform.shape[-1] < size:
            return []
        segments = waveform.unfold(-1, size, size // 2).unflatten(-1, (10, -1))
        levels = segments.square().mean((0, -1)).sqrt()
        chosen = (levels > of(levels)).sum(-1) > 5
        return [int(place) * (size // 2) for place in chosen.nonzero()]

    return found


def _cut_short(waveform, sample_rate, seconds):
    return salient(waveform, sample_rate, seconds) or [0] * bool(waveform.abs().max() > 0.9)


def _summed(waveform, sample_rate, seconds):
    return salient_segments(waveform * math.sqrt(len(waveform)), sample_rate, seconds)


def _each_chunk_once(waveform, sample_rate, seconds):
    size = round(seconds * sample_rate)
    if waveform.shape[-1] < size:
        return []
    segments = waveform.unfold(-1, size, size // 2).unflatten(-1, (10, -1))
    chunks = waveform.unfold(-1, size // 10, size // 10)
    energies, once = (one.square().mean((0, -1)).sqrt() for one in (segments, chunks))
    heard = (energies > once.quantile(0.15).clamp_min(1e-3)).sum(-1) > 5
    return [int(place) * (size // 2) for place in heard.nonzero()]


def _shifted(waveform, sample_rate, seconds):
    return [start + 1 for start in salient(waveform, sample_rate, seconds)]


RIGHT = {
    "ch25.widths": [ch25.widths_of, band_widths],
    "ch25.parameters": [ch25.parameters, parameters_of],
    "ch25.salient": [salient, salient_segments],
}

WRONG = {
    "ch25.widths": [
        (lambda *arguments: widths(*arguments)[:-1], "one more band"),
        (_on_and_on, "left out"),
        (lambda *arguments: widths(*arguments, rounded=round), "Round down"),
        (lambda *arguments: widths(*arguments, rounded=math.ceil), "Round down"),
        (_in_pieces, "one band, however wide"),
        (lambda *arguments: len(widths(*arguments)), "expected a list of widths"),
    ],
    "ch25.parameters": [
        (_with(gate_biases=0.5), "two biases for each gate"),
        (_with(gate_biases=0), "have biases, two each"),
        (_with(gates=0.5, gate_biases=0.5), "both directions"),
        (_with(gates=0.5, gate_biases=0.5, back=0.5, path_norms=0.5), "two LSTMs in a layer"),
        (_with(back=0), "back to N channels"),
        (_with(path_norms=0), "a norm before it"),
        (_with(band_norm=0), "over its 2 G numbers"),
        (_with(split_bias=0), "has a bias"),
        (_with(mask_norm=0), "before its mask"),
        (_with(mask_layers=0.2, mask_biases=0.5), "two hidden layers"),
        (_with(mask_biases=0, gated_biases=0), "The layers of the masks have biases"),
        (_with(gated=0.5, gated_biases=0.5), "twice as many outputs"),
        (lambda *settings: parameters(*settings) + 1, "which of them is wrong"),
        (lambda *settings: "36 M", "got '36 M'"),
    ],
    "ch25.salient": [
        (_side_by_side, "begin twice as often"),
        (_with_threshold(lambda levels: levels.quantile(0.15)), "the threshold is 1e-3"),
        (
            _with_threshold(lambda levels: levels.quantile(0.15, 1, keepdim=True).clamp_min(1e-3)),
            "not for each segment",
        ),
        (_with_threshold(lambda levels: levels.median().clamp_min(1e-3)), "do not reach"),
        (_with_threshold(lambda levels: levels.quantile(0.85).clamp_min(1e-3)), "not above it"),
        (_shifted, "multiples of half"),
        (_summed, "not their sum"),
        (_each_chunk_once, "the chunks of all segments"),
        (_cut_short, "does not fill"),
        (lambda *arguments: 3, "expected a list of samples"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch25.widths": [..., None, _not_written, lambda *arguments: None],
    "ch25.parameters": [..., None, _not_written, lambda *settings: None],
    "ch25.salient": [..., None, _not_written, lambda *arguments: None],
}
