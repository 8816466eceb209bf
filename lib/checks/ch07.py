"""Checks of chapter 7: spot the leak, the SNR of active speech, a seeded mixture generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lib.checks import CheckFailed, NotAttempted, close, exercise, holds
from lib.errors import require_package
from lib.mixing import active_snr_db

if TYPE_CHECKING:
    import pandas

_FILES = {
    "A": """
        id split speaker sha256
        a01 train ann 8d21f0
        a02 train ann 3b77c9
        a03 train bob 51aa04
        a04 train cem e0c412
        a05 train cem 97d35b
        a06 test dora 4c8e1f
        a07 test dora 3b77c9
        a08 test eve b602d8
        a09 test eve e0c421
        a10 test finn 97d35b
    """,
    "B": """
        id split speaker person
        b01 train m01 P1
        b02 train f01 P1
        b03 train m02 P2
        b04 train f02 P3
        b05 train f03 P3
        b06 test m03 P4
        b07 test f04 P2
        b08 test m04 P5
        b09 test m05 P3
        b10 test f05 P4
    """,
    "C": """
        id split song start_s stop_s
        c01 train night_ferry 0 10
        c02 train night_ferry 10 20
        c03 train Paper_Moon 0 10
        c04 train glass_hill 0 10
        c05 train Slow_Tram 5 15
        c06 test paper_moon_(remastered) 40 50
        c07 test paper_mill 0 10
        c08 test NIGHT_FERRY 30 40
        c09 test hill_of_glass 0 10
        c10 test tram_stop 5 15
    """,
}
_KEY = {"A": {"a07", "a10"}, "B": {"b07", "b09"}, "C": {"c06", "c08"}}
_WHY = {
    "A": "its hash stands in no training row; compare all six characters",
    "B": "its person is in no training row; the name of the speaker does not matter",
    "C": "no training row is of this song; a name that is merely alike is another song",
}
_MISSED = {
    "A": "Look for a hash that occurs on both sides, whoever the speaker is said to be.",
    "B": "Speakers of one person have different names. Compare the column person.",
    "C": "Another spelling, a remaster or other seconds: it is still the same song.",
}


def split_files() -> dict[str, pandas.DataFrame]:
    """The three split files of the first exercise, by name: A, B and C.

    Example:
        >>> split_files()["A"].columns.tolist()
        ['id', 'split', 'speaker', 'sha256']
    """
    pandas = require_package("pandas", "the split files")
    tables = {}
    for name, text in _FILES.items():
        head, *rows = [line.split() for line in text.strip().splitlines()]
        tables[name] = pandas.DataFrame(rows, columns=head)
    return tables


@exercise("ch07.spot_the_leak")
def spot_the_leak(answer):
    """``answer``: a dict from the files A, B and C to the test ids that leak."""
    holds(
        isinstance(answer, dict) and set(answer) == set(_KEY),
        "expected a dict with the keys A, B and C",
        hint='It begins {"A": ["a06"], ...} if you think that a06 leaks.',
    )
    if any(ids is ... or ids is None for ids in answer.values()):
        raise NotAttempted
    for name, right in _KEY.items():
        ids = answer[name]
        given = {ids} if isinstance(ids, str) else {str(one).strip() for one in ids}
        known = split_files()[name].set_index("id")["split"]
        for one in sorted(given):
            holds(one in known, f"{name}: expected ids such as {known.index[5]}, got {one!r}")
            holds(
                known[one] == "test",
                f"{name}: {one} is a training row",
                hint="Name the rows of the test; what was trained on stays.",
            )
        wrong = sorted(given - right)
        if wrong:
            raise CheckFailed(f"{name}: {wrong[0]} does not leak", _WHY[name] + ".")
        holds(
            given == right,
            f"{name}: {len(given)} of {len(right)} found",
            hint=_MISSED[name],
        )
    return "6 rows: 2 copies, 2 persons, 2 songs"


@exercise("ch07.active_snr")
def active_snr(answer):
    """``answer(target, interference, sample_rate) -> SNR in dB``, a number."""
    generator = torch.Generator().manual_seed(7)
    rate = 8000
    for spoken in (1.0, 0.5, 0.2):
        target = torch.randn(rate * 2, generator=generator, dtype=torch.float64)
        # syllables: some soft, and a pause that is not quite silent
        steps = torch.rand(50, generator=generator, dtype=torch.float64)
        target *= (0.1 + 0.9 * steps).repeat_interleave(len(target) // 50)
        target[round(spoken * len(target)) :] *= 1e-4
        interference = 0.3 * torch.randn(rate * 2, generator=generator, dtype=torch.float64)
        # part of the noise is loud where nobody speaks: it counts all the same
        interference[-4000:] *= 3
        got = answer(target.clone(), interference.clone(), rate)
        if got is None or got is ...:
            raise NotAttempted
        right = active_snr_db(target, interference, rate)
        close(
            got,
            right,
            f"SNR in dB, speech in {spoken:.0%} of the clip",
            atol=0.1,
            rtol=0,
            hint=_diagnose_active(got, target, interference, rate),
        )
    return "3 random clips, each within 0.1 dB of lib.mixing.active_snr_db"


def _diagnose_active(got, target, interference, rate: int) -> str:
    size = round(0.03 * rate)
    frames, noise = (
        signal[: len(signal) // size * size].unflatten(0, (-1, size)).square().mean(-1)
        for signal in (target, interference)
    )
    active = frames >= frames.max() * 1e-4
    noise_power = interference.square().mean()

    def db(power):
        return 10 * torch.log10(power)

    slips = {
        "That is the SNR of the whole clip: leave the pauses of the target out.": db(
            target.square().mean() / noise_power
        ),
        "The interference counts over the whole clip, also where nobody speaks.": db(
            frames[active].mean() / noise[active].mean()
        ),
        "Average the power of the active frames, then take the logarithm; the mean of decibels "
        "is lower.": db(frames[active]).mean() - db(noise_power),
        "40 dB of power is a factor of 10 ** -4; with 10 ** -2 only loud syllables are left.": db(
            frames[frames >= frames.max() * 1e-2].mean() / noise_power
        ),
        "Powers take 10 log10; squares were taken already.": 2
        * db(frames[active].mean() / noise_power),
    }
    try:
        value = float(got)
    except (TypeError, ValueError):
        return "Return one number in dB."
    for advice, slip in slips.items():
        if abs(value - float(slip)) < 0.02:
            return advice
    return (
        "Cut the target into frames of 0.03 * sample_rate samples, keep those within 40 dB of the "
        "loudest, and average their power."
    )


def _rows() -> list[dict]:
    generator = torch.Generator().manual_seed(70)
    people = {"train": "abcdef", "test": "uvw"}
    return [
        {
            "speaker": name,
            "split": split,
            "signal": (0.05 + 0.4 * torch.rand((), generator=generator))
            * torch.randn(160, generator=generator),
        }
        for split, names in people.items()
        for name in names
        for _ in range(3)
    ]


@exercise("ch07.mixture_generator")
def mixture_generator(answer):
    """``answer(rows, split, count, seed) -> [(mixture, sources, speakers), ...]``."""
    rows = _rows()
    by_split = {split: [r for r in rows if r["split"] == split] for split in ("train", "test")}
    before = torch.random.get_rng_state()
    first = _made(answer, rows, "train", 12, 5)
    holds(
        torch.equal(before, torch.random.get_rng_state()),
        "expected the global random state as it was",
        hint="torch.manual_seed and a bare torch.rand change it for everybody. Make a generator: "
        "torch.Generator().manual_seed(...), and hand it to torch.rand(..., generator=...).",
    )
    torch.manual_seed(99)
    again = _made(answer, rows, "train", 12, 5)
    holds(
        _same(first, again),
        "expected bit-identical mixtures in two runs with one seed",
        hint="Something is drawn without your generator, or you changed rows in place.",
    )
    holds(
        _same(first[:4], _made(answer, rows, "train", 4, 5)),
        "expected the first 4 of 12 mixtures to be the 4 that come alone",
        hint="Item i may depend on the seed and on i only: make a generator per item.",
    )
    holds(
        not _same(first, _made(answer, rows, "train", 12, 6)),
        "expected other mixtures with another seed",
        hint="The seed has to reach the generator.",
    )
    # a plain seed + i makes item 1 of seed 5 the same as item 0 of seed 6
    other = _made(answer, rows, "train", 12, 6)
    holds(
        not torch.equal(first[1][0], other[0][0]),
        "expected seed 6 to be a set of its own; its item 0 is item 1 of seed 5",
        hint="seed + i overlaps with the next seed. Mix them, for example 1000003 * seed + i.",
    )
    for split in by_split:
        for index, item in enumerate(_made(answer, rows, split, 12, 5)):
            _one_mixture(item, by_split, split, index)
    holds(
        len({tuple(speakers) for _, _, speakers in first}) > 3,
        "expected different pairs of speakers, got the same few",
        hint="Draw the pair anew for each item.",
    )
    return "two runs bit-identical, speakers of the splits disjoint, levels within 5 dB"


def _made(answer, rows, split, count, seed):
    fresh = [row | {"signal": row["signal"].clone()} for row in rows]
    items = answer(fresh, split, count, seed)
    if items is None or items is ...:
        raise NotAttempted
    items = list(items)
    holds(len(items) == count, f"expected {count} mixtures, got {len(items)}")
    for item in items:
        holds(
            isinstance(item, tuple | list) and len(item) == 3,
            "expected each item as (mixture, sources, speakers)",
        )
        holds(
            isinstance(item[0], torch.Tensor) and isinstance(item[1], torch.Tensor),
            "expected mixture and sources as tensors",
        )
    return items


def _same(one, two) -> bool:
    return all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and list(a[2]) == list(b[2])
        for a, b in zip(one, two, strict=True)
    )


def _one_mixture(item, by_split, split: str, index: int) -> None:
    mixture, sources, speakers = item
    where = f"{split}, item {index}"
    time = len(by_split[split][0]["signal"])
    close(sources.shape, (2, time), f"{where}: shape of the sources", atol=0)
    close(mixture.shape, (time,), f"{where}: shape of the mixture", atol=0)
    holds(
        len(speakers) == 2 and speakers[0] != speakers[1],
        f"{where}: expected two different speakers, got {list(speakers)}",
        hint="Two clips may be of one speaker: draw speakers first, then a clip of each.",
    )
    allowed = {row["speaker"] for row in by_split[split]}
    holds(
        set(speakers) <= allowed,
        f"{where}: expected speakers of {split}, got {sorted(set(speakers) - allowed)}",
        hint="A leak: keep only the rows of the split that was asked for.",
    )
    close(mixture, sources.sum(0), f"{where}: the mixture", hint="It is the plain sum, unscaled.")
    for source, speaker in zip(sources, speakers, strict=True):
        clips = torch.stack([r["signal"] for r in by_split[split] if r["speaker"] == speaker])
        likeness = torch.nn.functional.cosine_similarity(clips, source[None], dim=-1)
        holds(
            likeness.max() > 0.999,
            f"{where}: source of {speaker} is none of this speaker's clips times a positive gain",
        )
    level = (20 * torch.log10(sources[0].norm() / sources[1].norm())).item()
    holds(
        -5.01 <= level <= 5.01,
        f"{where}: level of the first over the second: expected -5 to 5 dB, got {level:.2f}",
        hint="Scale one source by 10 ** (-snr / 20) * norm(first) / norm(second).",
    )
