"""MDX-Net: the authors' network, what it hears, the Mixer; blends and their weights.

For the comparison with the authors' code put the folder of github.com/kuielab/mdx-net on the path;
without it, its stored answers stand for it.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning import losses_on_a_tone
from peers import assert_same, by_rule, noise, stored, with_weights_of
from torch import nn

from lib.blending import blend, blend_weights, least_squares
from lib.errors import InputError
from lib.models import MDXNet
from lib.models.mdx_net import FRAMES, Mixer
from lib.nn.tfc_tdf import TFCTDF, TFCTDFUNet

GOLDEN = Path(__file__).parent / "golden" / "mdx_net_peers.json"
STEMS = ["vocals", "drums", "bass", "other"]


def spectrum(*shape, seed=0, dtype=torch.float32):
    return torch.complex(*noise(2, *shape, seed=seed, dtype=dtype))


def built(module):
    """With weights by rule, and statistics of normalisations that are not those of a new one."""
    by_rule(module)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            steps = torch.arange(len(part.running_mean))
            part.running_mean.copy_(0.1 * torch.sin(steps))
            part.running_var.copy_(1 + 0.5 * torch.cos(steps))
    return module


# ---- what the networks hear


@pytest.mark.parametrize(
    "target, hertz", [("bass", 5512.5), ("other", 11025), ("vocals", 14700), ("drums", 22050)]
)
def test_the_band_of_a_target_is_cut(target, hertz):
    with torch.device("meta"):
        model = MDXNet.paper(target)
    kept = model.config["bandwidth"] * model.sample_rate / FRAMES[target]
    assert kept == hertz
    assert model.config["n_fft"] == FRAMES[target]


@torch.no_grad()
def test_above_its_band_a_network_hears_nothing_and_says_nothing():
    model = built(MDXNet(n_fft=64, hop_length=16, bandwidth=16, filters=2, depth=2, layers=1))
    x = spectrum(1, 2, 33, 9)
    answer = model.masker(x)
    assert (answer[..., 16:, :] == 0).all()
    assert (answer[..., :16, :] != 0).all()
    x[..., 16:, :] *= 3
    assert torch.equal(model.masker(x), answer)


@torch.no_grad()
def test_the_residual_keeps_the_frequencies_that_were_cut():
    model, mixture = MDXNet.tiny().eval(), noise(2, 2, 3000)
    estimates = model(mixture)
    assert model.source_names == ("vocals", "accompaniment")
    torch.testing.assert_close(estimates.sum(1), mixture, atol=1e-5, rtol=1e-4)
    bandwidth = model.config["bandwidth"]
    spectra = model.masker(model.encoder(mixture))[:, :, :, bandwidth:]
    assert (spectra[:, 0] == 0).all()
    assert (spectra[:, 1] != 0).any()


@torch.no_grad()
def test_stereo_is_heard_together_and_mono_on_both_channels():
    model = built(MDXNet(n_fft=64, hop_length=16, bandwidth=32, filters=2, depth=2, layers=1))
    mono, stereo = noise(1, 1, 700), noise(1, 2, 700)
    both = model(mono.expand(-1, 2, -1))
    torch.testing.assert_close(model(mono), both.mean(2, keepdim=True), atol=1e-6, rtol=1e-5)
    other = stereo.clone()
    other[:, 1] *= 2
    assert not torch.allclose(model(stereo)[:, :, 0], model(other)[:, :, 0], atol=1e-3)
    with pytest.raises(InputError, match="expected 1 or 2 channels, got 3"):
        model(noise(1, 3, 700))


@torch.no_grad()
def test_the_level_of_a_mixture_does_not_matter_to_the_smaller_presets():
    model, mixture = MDXNet.tiny().eval(), noise(1, 1, 3000)
    torch.testing.assert_close(model(100 * mixture), 100 * model(mixture), atol=1e-3, rtol=1e-4)
    assert MDXNet.small().config["relative"]
    assert not MDXNet.paper().config["relative"]
    assert MDXNet.small().config["channels"] == 1


# ---- blocks


def test_a_block_connects_all_frequencies_of_a_frame():
    torch.manual_seed(0)
    block, x = built(TFCTDF(2, 16, layers=2)), noise(1, 2, 9, 16).requires_grad_()
    (slope,) = torch.autograd.grad(block(x)[0, :, 4, 8].square().sum(), x)
    frames, bins = (slope.abs().sum((0, 1, other)).nonzero()[:, 0].tolist() for other in (3, 2))
    assert frames == [2, 3, 4, 5, 6]  # two convolutions of three
    assert bins == [*range(16)]


@pytest.mark.parametrize("frames", [1, 7, 16])
def test_a_u_net_takes_any_number_of_frames(frames):
    network = built(TFCTDFUNet(4, bins=16, filters=2, depth=3, layers=1))
    assert network(noise(2, 4, frames, 16)).shape == (2, 4, frames, 16)


@torch.no_grad()
def test_skips_are_products():
    network = built(TFCTDFUNet(2, bins=8, filters=2, depth=1, layers=1).double())
    x = noise(1, 2, 4, 8, dtype=torch.float64)
    first = network.first(x)
    beside = network.down[0](first)
    below = network.doublings[0](network.middle(network.halvings[0](beside)))
    expected = network.last(network.up[0](below * beside))
    torch.testing.assert_close(network(x), expected)


def test_a_step_towards_the_target_lowers_the_loss():
    torch.manual_seed(0)
    losses = losses_on_a_tone(MDXNet.tiny())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: MDXNet("vocals"), "targets: expected a list"),
        (lambda: MDXNet(bandwidth=2050), "bandwidth: expected a multiple of 32 up to 3073 bins"),
        (lambda: MDXNet(bandwidth=4096), "got 4096"),
        (lambda: MDXNet.paper("piano"), "target: expected one of bass, drums, .* got 'piano'"),
    ],
)
def test_one_clear_error(call, words):
    with pytest.raises(InputError, match=words):
        call()


# ---- the authors' code


def authors(model, monkeypatch):
    """Their network with our weights."""
    stubs = {"pytorch_lightning": {}, "src.utils": {}, "src.utils.utils": {"sdr": None}}

    class Module(nn.Module):
        def save_hyperparameters(self):
            pass

    stubs["pytorch_lightning"]["LightningModule"] = Module
    for name, content in stubs.items():
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        vars(sys.modules[name]).update(content)
    module = pytest.importorskip("src.models.mdxnet")
    # it asks torch.stft for real numbers, which newer versions refuse
    monkeypatch.setattr(module.AbstractMDXNet, "stft", lambda self, x: x)
    config = model.config
    theirs = module.ConvTDFNet(
        "vocals", 1e-4, "rmsprop", 4, config["bandwidth"], 256, config["n_fft"], 1024,
        num_blocks=2 * config["depth"] + 1, l=config["layers"], g=config["filters"],
        k=config["kernel_size"], bn=config["bottleneck"], bias=False,
    )  # fmt: skip
    trained = sum(weights.numel() for weights in theirs.parameters() if weights.requires_grad)
    assert trained == sum(weights.numel() for weights in model.parameters())
    names = {
        "first_conv": "first",
        "encoding_blocks": "down",
        "ds": "halvings",
        "mid_dense": "middle",
        "us": "doublings",
        "decoding_blocks": "up",
        "final_conv.0": "last",
    }

    def rename(state):
        ours = {}
        for name, value in state.items():
            old = next((one for one in names if name.startswith(f"{one}.")), None)
            if old is None:
                continue  # window and zeros, which are parameters there
            name = names[old] + name.removeprefix(old)
            name = name.replace(".H.", ".convolutions.")
            for step in range(6):  # two of layer, norm and rectifier, which are one sequence there
                name = name.replace(f".tdf.{step}.", f".along_frequency.{step // 3}.{step % 3}.")
            ours[name] = value
        return ours

    return with_weights_of(model.masker.networks[0], theirs, rename)


def estimate_of_authors(theirs, spectrogram):
    """Their spectrogram of the source for (B, 2, F, K) of the mixture: channels, then parts."""
    pictures = torch.view_as_real(spectrogram).movedim(-1, 2).flatten(1, 2)  # (B, 4, F, K)
    answer = theirs(pictures).unflatten(1, (2, 2)).movedim(2, -1)
    return torch.view_as_complex(answer.contiguous())


def ours(dtype=torch.float32):
    sizes = {"n_fft": 256, "hop_length": 64, "bandwidth": 64, "filters": 6, "depth": 3, "layers": 2}
    return built(MDXNet(["vocals"], **sizes).to(dtype))


def band(frames, dtype=torch.float32):
    x = spectrum(2, 2, 129, frames, dtype=dtype)
    x[:, :, 64:] = 0
    return x


@torch.no_grad()
def test_same_as_the_authors(monkeypatch):
    model, x = ours(), band(16)
    answer = estimate_of_authors(authors(model, monkeypatch), x[:, :, :64])
    assert_same(torch.view_as_real(model.masker(x)[:, 0, :, :64]), torch.view_as_real(answer))


def stored_points(estimate):
    """20 complex points of an estimate."""
    points = estimate.flatten()
    places = torch.linspace(0, len(points) - 1, 20, dtype=torch.float64).round().long()
    return torch.view_as_real(points[places])


@torch.no_grad()
def test_stored_answers_are_the_authors(monkeypatch):
    model, x = ours(torch.float64), band(16, torch.float64)[:, :, :64]
    answer = stored_points(estimate_of_authors(authors(model, monkeypatch), x))
    torch.testing.assert_close(answer, stored(GOLDEN, "vocals"), atol=1e-7, rtol=1e-6)


@torch.no_grad()
def test_same_as_stored_answers_of_the_authors():
    model, x = ours(torch.float64), band(16, torch.float64)
    answer = stored_points(model.masker(x)[:, 0, :, :64])
    assert answer.std() > 0.01
    torch.testing.assert_close(answer, stored(GOLDEN, "vocals"), atol=1e-7, rtol=1e-6)


# ---- the Mixer


def estimates_and_sources(time=400):
    """Estimates in which sources leak into each other, of two songs."""
    sources = noise(2, 4, 2, time, seed=3)
    leaks = torch.eye(8) + 0.2 * noise(8, 8, seed=4)
    estimates = torch.einsum("oi,bit->bot", leaks, sources.flatten(1, 2)).unflatten(1, (4, 2))
    return estimates, sources.sum(1), sources


@torch.no_grad()
def test_the_mixer_finds_what_undoes_leaks():
    estimates, mixture, sources = estimates_and_sources()
    mixer = Mixer()
    torch.testing.assert_close(mixer(estimates, mixture), estimates)
    assert (estimates - sources).abs().max() > 0.5
    mixer.fit(estimates, mixture, sources)
    torch.testing.assert_close(mixer(estimates, mixture), sources, atol=1e-4, rtol=1e-4)


def test_the_mixer_in_closed_form_is_where_training_goes():
    estimates, mixture, sources = estimates_and_sources()
    estimates = estimates + 0.5 * noise(2, 4, 2, 400, seed=5)  # which no matrix undoes
    mixer, trained = Mixer(), Mixer()
    mixer.fit(estimates, mixture, sources)

    def loss(one):
        return (one(estimates, mixture) - sources).square().mean()

    optimiser = torch.optim.LBFGS(trained.parameters(), max_iter=200)

    def closure():
        optimiser.zero_grad()
        value = loss(trained)
        value.backward()
        return value

    optimiser.step(closure)
    assert loss(trained) < 0.5 * loss(Mixer())
    torch.testing.assert_close(loss(trained), loss(mixer), atol=0, rtol=1e-4)


@torch.no_grad()
def test_the_mixer_hears_one_sample_at_a_time_and_the_mixture():
    estimates, mixture, sources = estimates_and_sources()
    mixer = Mixer()
    mixer.fit(estimates + 0.5 * noise(2, 4, 2, 400, seed=5), mixture, sources)
    before = mixer(estimates, mixture)
    estimates[..., 7] += 1
    changed = (mixer(estimates, mixture) != before).any(0).any(0).any(0).nonzero()[:, 0]
    assert changed.tolist() == [7]
    assert not torch.allclose(mixer(estimates, 2 * mixture), mixer(estimates, mixture))


# ---- blends


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([None, 1.0]))
def test_no_weights_are_better_than_those_in_closed_form(seed, total):
    sources = noise(2, 3, 1, 50, seed=seed)
    estimates = sources + torch.stack(
        [0.3 * noise(2, 3, 1, 50, seed=seed + 1), 0.5 * noise(2, 3, 1, 50, seed=seed + 2)]
    )
    weights = blend_weights(estimates, sources, total)

    def error(weights):
        return (blend(estimates, weights) - sources).square().sum((0, 2, 3))

    best = error(weights)
    if total is not None:
        torch.testing.assert_close(weights.sum(0), torch.ones(3))
    for step in (0.02, -0.02):
        for change in ([step, -step], [step, step], [step, 0.0]):
            if total is None or sum(change) == 0:
                assert (error(weights + torch.tensor(change)[:, None]) > best).all()
    alone = torch.eye(2)  # either model by itself
    assert all((error(alone[:, [model]].expand(2, 3)) >= best).all() for model in (0, 1))


def test_two_models_are_weighted_by_the_formula():
    sources = noise(2, 1, 300, seed=1)
    a, b = (sources + 0.4 * noise(2, 1, 300, seed=seed) for seed in (2, 3))
    weights = blend_weights(torch.stack([a, b]), sources, total=1.0)
    expected = ((sources - b) * (a - b)).sum((1, 2)) / (a - b).square().sum((1, 2))
    torch.testing.assert_close(weights[0], expected)
    assert ((weights > 0.4) & (weights < 0.6)).all()  # errors of one level


def test_models_that_say_the_same_share_their_weight():
    sources = noise(1, 1, 100)
    weights = blend_weights(torch.stack([2 * sources, 2 * sources]), sources)
    torch.testing.assert_close(weights, torch.full((2, 1), 0.25))
    silent = blend_weights(torch.zeros(2, 1, 1, 100), sources)
    assert (silent == 0).all()
    assert blend_weights(sources[None], sources, total=1.0).tolist() == [[1.0]]


def test_a_blend_of_published_weights():
    mdx, demucs = torch.ones(4, 2, 10), torch.zeros(4, 2, 10)
    weights = torch.tensor([0.9, 0.5, 0.5, 0.7])  # vocals, drums, bass, other
    blended = blend(torch.stack([mdx, demucs]), torch.stack([weights, 1 - weights]))
    torch.testing.assert_close(blended, weights[:, None, None].expand(4, 2, 10))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: least_squares(torch.ones(2, 5), torch.ones(2, 6)), "inputs and targets: expected"),
        (lambda: least_squares(torch.ones(5), torch.ones(5)), "inputs and targets: expected"),
        (lambda: blend_weights(torch.ones(2, 1, 5), torch.ones(2, 1, 5)), "estimates: expected"),
        (lambda: blend_weights(torch.ones(3, 2, 1, 5), torch.ones(2, 1, 6)), "estimates: expected"),
        (lambda: blend(torch.ones(3, 2, 1, 5), torch.ones(2, 3)), "weights: expected one for each"),
    ],
)
def test_bad_blends_are_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
