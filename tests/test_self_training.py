"""The Band-Split RNN's objective, and learning from a teacher's guesses: rule, pools, promotion."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lib.audio import write
from lib.data.signals import STEMS
from lib.errors import InputError
from lib.losses import SelfTraining, make_objective
from lib.losses.self_training import ComplexL1
from lib.models import CDAE, BandSplitRNN, MDXNet, WaveUNet
from lib.stft import STFT
from lib.training import load_recipe, train
from lib.training.recipes import build_model, give_weights

RATE = 8000


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Knowing(nn.Module):
    """Estimates by a function of the mixture, the second of two being the rest."""

    def __init__(self, target):
        super().__init__()
        self.target, self.encoder = target, STFT(64, 16)
        self.heard = []

    def spectra(self, spectrogram):
        self.heard.append(self.encoder.inverse(spectrogram, self.length))
        target = self.encoder(self.target(self.heard[-1]))
        return torch.stack([target, spectrogram - target], 1)

    def decode(self, spectra, length):
        return self.encoder.inverse(spectra, length)

    def forward(self, mixture):
        self.length = mixture.shape[-1]
        return self.decode(self.spectra(self.encoder(mixture)), self.length)


# ---- the objective with known sources


def test_three_terms_of_the_paper():
    model, sources = BandSplitRNN.tiny(), noise(3, 2, 2, 800)
    mixture = sources.sum(1)
    spectrogram = model.encoder(mixture)
    estimates = model.masker(spectrogram) * spectrogram[:, None]
    truth = model.encoder(sources)
    expected = (estimates.real - truth.real).abs().mean((1, 2, 3, 4))
    expected = expected + (estimates.imag - truth.imag).abs().mean((1, 2, 3, 4))
    expected = expected + (model(mixture) - sources).abs().mean((1, 2, 3))
    torch.testing.assert_close(make_objective("complex_l1")(model, mixture, sources), expected)


def test_a_perfect_estimate_costs_nothing_and_one_with_another_phase_much():
    sources = noise(2, 2, 1, 800)
    mixture = sources.sum(1)
    for target, least, most in (
        (lambda heard: sources[:, 0], 0.0, 1e-4),
        (lambda heard: -sources[:, 0], 1.0, 99.0),
    ):
        model = Knowing(target)
        model.length = 800
        loss = ComplexL1()(model, mixture, sources)
        assert (loss >= least).all()
        assert (loss < most).all()


@pytest.mark.parametrize("system", [BandSplitRNN, MDXNet, CDAE])
def test_estimated_spectra_are_those_of_the_estimates(system):
    model, mixture = system.tiny().eval(), noise(1, 1, 3000)
    spectra = model.spectra(model.encoder(mixture))
    torch.testing.assert_close(model.decode(spectra, 3000), model(mixture), atol=1e-5, rtol=1e-4)
    loss = ComplexL1()(model, mixture, torch.zeros_like(model(mixture)))
    assert loss.isfinite().all()


def test_systems_without_spectra_are_refused():
    with pytest.raises(InputError, match="WaveUNet has no spectra"):
        ComplexL1()(WaveUNet.tiny(), noise(1, 1, 500), noise(1, 2, 1, 500))
    with pytest.raises(InputError, match="sources: expected 2 as the model's estimates"):
        ComplexL1()(BandSplitRNN.tiny(), noise(1, 1, 500), noise(1, 3, 1, 500))


# ---- the rule


def pools(target, mixture, **options):
    objective = SelfTraining(**options)
    teacher = Knowing(target)
    objective.start(teacher)
    return objective.pools(mixture)


def test_guesses_are_labels_where_both_are_heard():
    mixture = noise(3, 1, 800)
    targets, residuals = pools(lambda heard: 0.25 * heard, mixture)
    torch.testing.assert_close(targets, 0.25 * mixture, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(residuals, 0.75 * mixture, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("db, clean", [(29, False), (31, True)])
def test_more_than_30_db_below_the_mixture_is_silence(db, clean):
    mixture, share = noise(3, 1, 800), 10 ** (-db / 20)
    targets, residuals = pools(lambda heard: share * heard, mixture)
    assert len(targets) == (0 if clean else 3)
    expected = mixture if clean else (1 - share) * mixture
    torch.testing.assert_close(residuals, expected, atol=1e-5, rtol=1e-4)
    targets, residuals = pools(lambda heard: (1 - share) * heard, mixture)
    assert len(residuals) == (0 if clean else 3)
    torch.testing.assert_close(targets, expected, atol=1e-5, rtol=1e-4)
    _, residuals = pools(lambda heard: share * heard, mixture, activity_db=20.0)
    torch.testing.assert_close(residuals, mixture)


# ---- batches


def batch(known, unknown):
    """Items with known sources, and items without."""
    sources = noise(known + unknown, 2, 1, 800, seed=1)
    mixture = sources.sum(1)
    sources[known:] = torch.nan
    return mixture, sources


def test_new_mixtures_are_made_of_both_pools():
    mixture, sources = batch(2, 2)
    objective = SelfTraining()
    objective.start(Knowing(lambda heard: 0.25 * heard))
    targets = [*sources[:2, 0], *(0.25 * mixture[2:])]
    residuals = [*sources[:2, 1], *(0.75 * mixture[2:])]
    pairs = [(a, b, one + two) for a, one in enumerate(targets) for b, two in enumerate(residuals)]
    seen = set()
    for _ in range(30):
        model = Knowing(lambda heard: heard)
        model.length = 800
        loss = objective(model, mixture, sources)
        assert loss.shape == (4,)
        assert loss.isfinite().all()
        for heard in model.heard[0]:
            (pair,) = [(a, b) for a, b, sum_ in pairs if torch.allclose(heard, sum_, atol=1e-4)]
            seen.add(pair)
    assert seen == {(a, b) for a in range(4) for b in range(4)}


def test_labels_are_what_a_mixture_was_made_of():
    """A student that knows the labels' rule has no loss."""
    mixture, sources = batch(0, 3)
    objective = SelfTraining()
    objective.start(Knowing(lambda heard: 0 * heard))  # every mixture is a clean residual
    model = Knowing(lambda heard: 0 * heard)
    model.length = 800
    assert (objective(model, mixture, sources) < 1e-4).all()


def test_known_sources_are_compared_as_they_are():
    model, (mixture, sources) = BandSplitRNN.tiny(), batch(3, 0)
    objective = SelfTraining()
    assert torch.equal(
        objective(model, mixture, sources), ComplexL1()(model, mixture, sources)
    )  # without a teacher


def test_the_student_learns_and_the_teacher_does_not():
    torch.manual_seed(0)
    model, (mixture, sources) = BandSplitRNN.tiny().train(), batch(2, 2)
    objective = SelfTraining()
    objective.start(model)
    before = copy.deepcopy(objective.teacher.state_dict())
    objective.train()
    assert not objective.teacher.training
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    objective(model, mixture, sources).mean().backward()
    assert all(weights.grad is None for weights in objective.teacher.parameters())
    optimiser.step()
    for name, value in objective.teacher.state_dict().items():
        assert torch.equal(value, before[name])
    assert any((value != before[name]).any() for name, value in model.state_dict().items())


def test_a_better_student_takes_the_teachers_place():
    first, better, worse = (BandSplitRNN.tiny() for _ in range(3))
    objective = SelfTraining()
    objective.start(first)

    def teaches(model):
        own = objective.teacher.state_dict()
        return all(torch.equal(value, own[name]) for name, value in model.state_dict().items())

    objective.validated(first, 3.0)
    objective.validated(worse, 2.0)
    assert teaches(first)
    objective.validated(better, 4.0)
    assert teaches(better)
    objective.validated(worse, 3.5)
    assert teaches(better)
    assert float(objective.score) == 4.0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: SelfTraining(activity_db=0.0), "activity_db: expected a number above 0"),
        (lambda: SelfTraining()(None, *batch(1, 1)), "expected a teacher, got none"),
        (
            lambda: SelfTraining()(None, noise(1, 1, 8), torch.full((1, 4, 1, 8), torch.nan)),
            "expected two, target and residual, got 4",
        ),
    ],
)
def test_one_clear_error(call, words):
    with pytest.raises(InputError, match=words):
        call()


# ---- as a recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Songs with stems for training and validation, recordings, and a model to begin with."""
    root = tmp_path_factory.mktemp("songs")
    for split in ("train", "val"):
        for song in "ab":
            (root / split / song).mkdir(parents=True)
            for seed, stem in enumerate(STEMS):
                sound = 0.2 * noise(1, 2 * RATE, seed=seed + 10 * ord(song))
                write(root / split / song / f"{stem}.wav", sound, RATE)
    (root / "recordings").mkdir()
    write(root / "recordings" / "radio.wav", 0.2 * noise(1, 2 * RATE, seed=99), RATE)
    torch.manual_seed(1)
    BandSplitRNN.tiny().save(root / "start")
    return root


def recipe(folder, **trainer):
    songs = {"corpus": "folders", "folder": str(folder), "target": "vocals", "mono": True}
    return {
        "system": {"name": "BandSplitRNN", "preset": "tiny", "weights": str(folder / "start")},
        "data": {"name": "songs", "seconds": 0.5, "batch_size": 4, "steps_per_epoch": 2}
        | {"val_items": 3}
        | songs,
        "augment": {"remix": True, "unlabelled": str(folder / "recordings")},
        "objective": {"name": "self_training"},
        "trainer": {"max_epochs": 3, "accelerator": "cpu", "logger": "none"} | trainer,
    }


def teacher(path):
    state = torch.load(path, weights_only=True)["state_dict"]
    score = state.pop("objective.score")
    names = ("objective.teacher.", "model.")
    return score, *(
        {n.removeprefix(p): v for n, v in state.items() if n.startswith(p)} for p in names
    )


def test_a_training_goes_on_from_weights_with_a_teacher(folder, tmp_path):
    rows = []
    train(recipe(folder), tmp_path / "run", progress=False, on_epoch=rows.append)
    score, guesses, model = teacher(tmp_path / "run" / "last.ckpt")
    start = BandSplitRNN.from_pretrained(folder / "start").state_dict()
    best = max(row["val/si_sdr_i"] for row in rows)
    assert float(score) >= best - 1e-4
    assert guesses.keys() == model.keys() == start.keys()
    improved = [row for row in rows if row["val/si_sdr_i"] == pytest.approx(float(score), abs=1e-4)]
    if improved:  # the teacher is the student of that epoch
        assert any((guesses[name] != start[name]).any() for name in start)
    else:  # no student was better
        assert all(torch.equal(guesses[name], start[name]) for name in start)


def test_a_resumed_training_keeps_its_teacher(folder, tmp_path):
    train(recipe(folder), tmp_path / "whole", progress=False)
    train(recipe(folder, max_epochs=1), tmp_path / "parts", progress=False)
    train(recipe(folder), tmp_path / "parts", progress=False, resume=True)
    for one, other in zip(
        *(teacher(tmp_path / name / "last.ckpt") for name in ("whole", "parts")), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_weights_are_those_of_the_checkpoint(folder):
    loaded = load_recipe(recipe(folder))
    model = build_model(loaded)
    start = BandSplitRNN.from_pretrained(folder / "start").state_dict()
    assert any((value != start[name]).any() for name, value in model.state_dict().items())
    assert give_weights(model, loaded)
    for name, value in model.state_dict().items():
        assert torch.equal(value, start[name])
    other = load_recipe(recipe(folder), {"system.layers": 2})
    with pytest.raises(InputError, match="weights: expected a checkpoint with layers 2, .* got 1"):
        give_weights(build_model(other), other)
    nowhere = load_recipe(recipe(folder), {"system.weights": "no-such"})
    with pytest.raises(InputError, match="checkpoint: expected a folder"):
        give_weights(model, nowhere)


def test_the_shipped_recipe_goes_on_from_the_shipped_recipe():
    first, second = (load_recipe(f"band-split-rnn{name}-small") for name in ("", "-finetuned"))
    assert build_model(first).config == build_model(second).config
    assert second["system"]["weights"] == "runs/band-split-rnn-small/model"
    rates = [one["optimiser"]["learning_rate"] for one in (first, second)]
    assert rates[1] == pytest.approx(rates[0] / 10)
    assert {**second["augment"], "unlabelled": 0, "unlabelled_share": 0} == {
        **first["augment"],
        "unlabelled": 0,
        "unlabelled_share": 0,
    }
