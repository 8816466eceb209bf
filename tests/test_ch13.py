"""Chapter 13: what its text claims is true, of the pack and of the published table."""

from __future__ import annotations

import pytest
import torch

from lib.data import Item, TwoSpeakers, speech
from lib.errors import InputError
from lib.evaluation import best_order
from lib.losses import (
    active_points,
    make_objective,
    phase_sensitive_magnitude,
    pit,
)
from lib.metrics import si_sdr
from lib.mixing import mix_at_snr
from lib.models import UPIT
from lib.published import published
from lib.stft import STFT
from lib.training.live import train_live
from lib.widgets import permutation_game

RATE = 8000

# ------------------------------------------------------------------ the mathematics


def test_half_of_both_is_the_best_answer_in_a_fixed_order():
    orders = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    first = torch.linspace(0, 1, 11)
    error = torch.stack([first, 1 - first], 1)[:, None] - orders  # (guesses, orders, 2)
    squared, absolute = error.square().mean(2), error.abs().mean(2)
    assert squared.mean(1).argmin() == 5
    assert torch.allclose(absolute.mean(1), torch.tensor(0.5))  # no guess is better than another
    assert squared.amin(1).argmax() == 5 and squared.amin(1)[[0, -1]].max() == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_frame_may_choose_and_an_utterance_must_stay(seed):
    generator = torch.Generator().manual_seed(seed)
    references = torch.rand(2, 7, 20, generator=generator)  # (S, F, K)
    half_swapped = torch.cat([references[..., :10], references.flip(0)[..., 10:]], -1)
    for estimates in (torch.rand(2, 7, 20, generator=generator), half_swapped):
        errors = (estimates[:, None] - references).square().mean(2)  # (E, R, K)
        frame = pit(errors.permute(2, 0, 1))[0].mean()
        assert frame <= pit(errors.mean(-1)[None])[0][0]
    assert frame == 0 and pit(errors.mean(-1)[None])[0][0] > 0.05


# ------------------------------------------------------------------ the pack


def test_the_target_leaves_the_range_of_every_activation():
    drawn = [TwoSpeakers("test", items=30, seed=9, seconds=3.0)[index] for index in range(10)]
    stft = STFT(256, 64)
    mixture, sources = (
        stft(torch.stack([getattr(one, name) for one in drawn])) for name in ("mixture", "sources")
    )
    weights = active_points(mixture).unflatten(1, (mixture.shape[-1], -1)).transpose(1, 2) > 0
    target = phase_sensitive_magnitude(sources, mixture[:, None])
    psm = (target / mixture.abs()[:, None].clamp_min(1e-9))[:, :, 0].movedim(1, -1)[weights]
    assert 0.1 < (psm < 0).float().mean() < 0.3
    assert 0.1 < (psm > 1).float().mean() < 0.3


def duets(count: int, utterances: tuple[int, int], seed: int) -> list[Item]:
    draw, items = torch.Generator().manual_seed(seed), []
    for index in range(count):
        picked = torch.randint(*utterances, (2,), generator=draw).tolist()
        cuts = [
            speech("train", name, place, RATE)[:, 2000:10000]
            for name, place in zip(("f01", "f02"), picked, strict=True)
        ]
        mixed = mix_at_snr(*cuts, 6 * float(torch.rand(1, generator=draw)) - 3)
        items.append(Item(mixed.mixture, torch.stack(mixed[1:]), RATE, f"duet-{index}", {}))
    return items


@pytest.fixture(scope="module")
def women():
    return duets(96, (0, 44), 0), duets(16, (44, 50), 1)


def trained(items: list[Item], permutation: str) -> UPIT:
    torch.manual_seed(0)
    model = UPIT(hop_length=128, layers=1, hidden=64, activation="sigmoid", dropout=0, log=True)
    objective = make_objective("spectrogram", target="psm", distance="l2", permutation=permutation)
    train_live(model, items, objective, 200, learning_rate=3e-3, batch_size=8, show=False)
    return model


@torch.no_grad()
def scores(model: UPIT, items: list[Item]) -> dict[str, float]:
    """SI-SDRi in dB by default and by optimal assignment."""
    x, s = (torch.stack([getattr(one, name) for one in items]) for name in ("mixture", "sources"))
    X, R = model.encoder(x), model.encoder(s)
    spectra = model.masker(X) * X[:, None]
    target = phase_sensitive_magnitude(R, X[:, None])
    errors = (model.magnitudes(X)[:, :, None] - target[:, None]).square().mean((3, 4))
    order = pit(errors.permute(0, 3, 1, 2).flatten(0, 1))[1].unflatten(0, (len(x), -1))
    right = spectra.gather(1, order.transpose(1, 2)[:, :, None, None].expand_as(spectra))
    floor = si_sdr(x[:, None].expand_as(s), s)
    gains = {}
    for name, one in (("default", spectra), ("optimal", right)):
        estimates = model.decode(one, x.shape[-1])
        ordered = torch.stack([e[best_order(e, r)] for e, r in zip(estimates, s, strict=True)])
        gains[name] = float((si_sdr(ordered, s) - floor).mean())
    return gains


def test_frame_level_parts_and_does_not_trace_utterance_level_does_both(women):
    frame, whole = (scores(trained(women[0], level), women[1]) for level in ("frame", "utterance"))
    assert frame["optimal"] > 4 and whole["optimal"] > 4
    assert frame["default"] < 2.5
    assert whole["default"] > frame["default"] + 3
    assert whole["optimal"] - whole["default"] < 2


def test_a_fixed_order_needs_an_order(women):
    both = [one for item in women[0] for one in (item, item._replace(sources=item.sources.flip(0)))]
    assert abs(scores(trained(both, "none"), women[1])["default"]) < 0.3
    assert scores(trained(women[0], "none"), women[1])["default"] > 4


def test_the_mixture_of_two_has_about_no_sdr(women):
    mixtures = torch.stack([one.mixture for one in women[1]])[:, None]
    references = torch.stack([one.sources for one in women[1]])
    values = si_sdr(mixtures.expand_as(references), references)
    assert abs(values.mean()) < 0.3 and values.std() > 1


# ------------------------------------------------------------------ the published table


def sdri(system: str, condition: str) -> float:
    rows = published("WSJ0-2mix", "SDRi", system)
    rows = rows[(rows.system == system) & (rows.split_or_condition == condition)]
    return float(rows.value.iloc[0])


def test_what_the_text_reads_in_the_published_table():
    default, optimal = (f"{name} assignment, open condition" for name in ("default", "optimal"))
    closed = "{} assignment, closed condition".format
    assert sdri("PIT-BLSTM [PSM, ReLU]", closed("optimal")) == 11.7
    assert sdri("PIT-BLSTM [PSM, ReLU]", closed("default")) == -1.7
    gaps = {
        name: sdri(f"{name} [PSM, ReLU]", closed("optimal"))
        - sdri(f"{name} [PSM, ReLU]", closed("default"))
        for name in ("uPIT-LSTM", "uPIT-BLSTM")
    }
    assert gaps == pytest.approx({"uPIT-LSTM": 2.8, "uPIT-BLSTM": 1.5})
    assert abs(sdri("uPIT-BLSTM [PSM, ReLU]", optimal) - 10.9) < 0.2
    best = {}
    for target in ("AM", "PSM", "NPSM"):
        values = {
            name: sdri(f"uPIT-BLSTM [{target}, {name}]", default)
            for name in ("softmax", "sigmoid", "ReLU", "tanh")
        }
        best[target] = max(values, key=values.get)
    assert best == {"AM": "softmax", "PSM": "ReLU", "NPSM": "sigmoid"}


# ------------------------------------------------------------------ the widget


@pytest.mark.parametrize("bad", [{"sources": 1}, {"sources": 6}, {"seconds": 0}])
def test_what_the_game_refuses(bad):
    with pytest.raises(InputError, match=f"^{next(iter(bad))}: expected"):
        permutation_game(**bad)
