"""Chapter 7: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from worked import ch07

LEAKS, make_mixtures, _mix = ch07.leaks, ch07.make_mixtures, ch07.mix_item


def _power(signal, sample_rate):
    size = round(0.03 * sample_rate)
    return signal[: len(signal) // size * size].reshape(-1, size).square().mean(-1)


def active_snr(target, interference, sample_rate, range_db=40, gate_noise=False):
    frames = _power(target, sample_rate)
    active = frames >= frames.max() * 10 ** (-range_db / 10)
    noise = interference.square().mean()
    if gate_noise:
        noise = _power(interference, sample_rate)[active].mean()
    return 10 * torch.log10(frames[active].mean() / noise)


def _generator(seed, index):
    return torch.Generator().manual_seed(1_000_003 * seed + index)


RIGHT = {
    "ch07.spot_the_leak": [LEAKS, {name: set(ids) for name, ids in LEAKS.items()}],
    "ch07.active_snr": [ch07.active_snr, lambda *a: float(active_snr(*a))],
    "ch07.mixture_generator": [make_mixtures],
}


def _mean_of_decibels(target, interference, sample_rate):
    frames = _power(target, sample_rate)
    active = frames >= frames.max() * 1e-4
    return 10 * torch.log10(frames[active]).mean() - 10 * torch.log10(interference.square().mean())


def _leaky(rows, split, count, seed):
    return [_mix(rows, _generator(seed, index)) for index in range(count)]


def _one_generator(rows, split, count, seed):
    generator = torch.Generator().manual_seed(seed)
    mine = [row for row in rows if row["split"] == split]
    items = [_mix(mine, generator) for _ in range(count)]
    return items[::-1]  # item 0 depends on how many were asked for


def _seed_plus_index(rows, split, count, seed):
    mine = [row for row in rows if row["split"] == split]
    return [_mix(mine, torch.Generator().manual_seed(seed + i)) for i in range(count)]


def _global_seed(rows, split, count, seed):
    torch.manual_seed(seed)
    return make_mixtures(rows, split, count, seed)


def _from_the_clock(rows, split, count, seed):
    mine = [row for row in rows if row["split"] == split]
    return [_mix(mine, generator) for generator in [_fresh() for _ in range(count)]]


def _fresh():
    generator = torch.Generator()
    generator.seed()
    return generator


def _no_seed(rows, split, count, seed):
    return make_mixtures(rows, split, count, 0)


def _changed(change):
    def answer(rows, split, count, seed):
        return [change(*item) for item in make_mixtures(rows, split, count, seed)]

    return answer


def _same_speaker(rows, split, count, seed):
    mine = [row for row in rows if row["split"] == split]
    items = []
    for index in range(count):
        picks = torch.randint(len(mine), (2,), generator=_generator(seed, index))
        chosen = [mine[i] for i in picks]
        sources = torch.stack([row["signal"] for row in chosen])
        sources = sources / sources.norm(dim=-1, keepdim=True)
        items.append((sources.sum(0), sources, [row["speaker"] for row in chosen]))
    return items


def _no_level(rows, split, count, seed):
    items = []
    for _, sources, pair in make_mixtures(rows, split, count, seed):
        sources = sources * torch.tensor([[10.0], [0.1]])
        items.append((sources.sum(0), sources, pair))
    return items


# exercise -> [(wrong answer, what the message has to say)]
WRONG = {
    "ch07.spot_the_leak": [
        (["a07"], "keys A, B and C"),
        (LEAKS | {"A": ["a07"]}, "1 of 2 found"),
        (LEAKS | {"A": ["a07", "a09", "a10"]}, "all six characters"),
        (LEAKS | {"B": ["b03"]}, "training row"),
        (LEAKS | {"B": ["b06"]}, "b06 does not leak"),
        (LEAKS | {"C": ["c06", "c07", "c08"]}, "another song"),
        (LEAKS | {"C": ["c06"]}, "still the same song"),
        (LEAKS | {"C": ["c99"]}, "expected ids such as"),
    ],
    "ch07.active_snr": [
        (lambda t, n, r: 10 * torch.log10(t.square().mean() / n.square().mean()), "whole clip"),
        (lambda t, n, r: active_snr(t, n, r, gate_noise=True), "also where nobody speaks"),
        (lambda t, n, r: active_snr(t, n, r, range_db=20), "10 ** -4"),
        (_mean_of_decibels, "take the logarithm"),
        (lambda t, n, r: 2 * active_snr(t, n, r), "10 log10"),
        (lambda t, n, r: 0.0, "expected"),
        (lambda t, n, r: "loud", "numbers"),
    ],
    "ch07.mixture_generator": [
        (_leaky, "A leak"),
        (_one_generator, "Item i may depend"),
        (_seed_plus_index, "seed + i overlaps"),
        (_global_seed, "global random state"),
        (_from_the_clock, "bit-identical"),
        (_no_seed, "another seed"),
        (_same_speaker, "two different speakers"),
        (_no_level, "-5 to 5 dB"),
        (_changed(lambda m, s, p: (m / m.abs().max(), s, p)), "plain sum"),
        (_changed(lambda m, s, p: (m, -s, p)), "the mixture"),
        (_changed(lambda m, s, p: (m, s, p[::-1])), "none of this speaker"),
        (_changed(lambda m, s, p: (m, s)), "(mixture, sources, speakers)"),
        (lambda rows, split, count, seed: [], "expected 12 mixtures, got 0"),
    ],
}
OPEN = {
    "ch07.spot_the_leak": [..., None, LEAKS | {"B": ...}],
    "ch07.active_snr": [..., lambda target, interference, sample_rate: ...],
    "ch07.mixture_generator": [..., lambda rows, split, count, seed: None],
}
