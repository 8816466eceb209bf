"""The standard battery: what every system of `lib.models` must do. A new one joins by a line."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import pickle
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lib.models
from lib.data import TwoSpeakers
from lib.errors import DataError, InputError
from lib.evaluation import best_order
from lib.losses import make_objective
from lib.masks import OracleMask
from lib.metrics import si_sdr
from lib.models import (
    CDAE,
    DCCRN,
    DPRNN,
    UPIT,
    BandSplitRNN,
    BandSplitRoFormer,
    Chimera,
    ConditionedUNet,
    ConvTasNet,
    D3Net,
    DANet,
    DCUNet,
    DeepClustering,
    DeepKaraoke,
    DeepRNN,
    Demucs,
    Denoiser,
    DPTNet,
    EncoderMaskerDecoder,
    HTDemucs,
    HybridDemucs,
    MDXNet,
    OpenUnmix,
    Separator,
    SepFormer,
    SpectrogramSeparator,
    Spleeter,
    SuDoRMRF,
    TasNet,
    TimeDomainSeparator,
    UNet,
    WaveUNet,
    card,
    shipped,
)
from lib.models.checkpoint import PRETRAINED, load, save
from lib.models.mdx_net import FRAMES

GOLDEN = Path(__file__).parent / "golden" / "models.json"


class System(NamedTuple):
    """A system in the battery: its small form, its published sizes, and what it cannot do."""

    build: Any
    sizes: dict[str, int]  # arguments of paper(), as JSON: parameters
    clusters: bool = False  # k-means stands between input and output
    mono: bool = True  # all channels get the same mask


SYSTEMS = {
    "CDAE": System(CDAE.tiny, {"{}": 4 * 37_101}, mono=False),
    "DeepKaraoke": System(DeepKaraoke.tiny, {"{}": 1_260_811_500}),
    "DeepRNN": System(DeepRNN.tiny, {"{}": 5_569_026, '{"context": 1}': 4_543_026}),
    "OpenUnmix": System(OpenUnmix.tiny, {"{}": 8_893_348}),
    "UNet": System(UNet.tiny, {"{}": 9_823_313, '{"outputs": 2}': 9_824_114}),
    "UNet-2-outputs": System(lambda: UNet.tiny(outputs=2, skips=False), {}),
    "UNet-direct": System(lambda: UNet.tiny(direct=True), {}),
    "Spleeter": System(
        Spleeter.tiny, {f'{{"stems": {stems}}}': stems * 9_822_725 for stems in (2, 4, 5)}
    ),
    "Spleeter-5-stems": System(
        lambda: Spleeter([*"abcde"], 1, 256, 64, 2000, "average", 2, 3, sample_rate=8000), {}
    ),
    "ConditionedUNet": System(
        ConditionedUNet.tiny, {"{}": 9_844_845, '{"each": true}': 12_159_873}
    ),
    "ConditionedUNet-each": System(
        lambda: ConditionedUNet([*"abcd"], 256, 64, 4, 4, each=True, hidden=[8, 16], log=True), {}
    ),
    "UPIT": System(UPIT.tiny, {"{}": 46_387_970, '{"causal": true}': 65_655_554}),
    "UPIT-causal": System(lambda: UPIT(hop_length=64, layers=1, hidden=16, causal=True), {}),
    "OpenUnmix-causal": System(
        lambda: OpenUnmix(
            ["speech"], "noise", 1, 256, 64, None, 16, 1, causal=True, sample_rate=8000
        ),
        {},
    ),
    "DeepClustering": System(DeepClustering.tiny, {"{}": 18_355_560}, clusters=True),
    "DANet": System(DANet.tiny, {"{}": 9_079_380}, clusters=True),
    "ADANet": System(lambda: DANet.tiny(anchors=4), {}),
    "ADANet-sizes": System(lambda: DANet.tiny(anchors=3), {'{"anchors": 6}': 9_079_500}),
    "Chimera": System(Chimera.tiny, {"{}": 32_866_038}),
    "Chimera-clusters": System(
        lambda: Chimera(layers=1, hidden=16, dimensions=4, clusters=True), {}, clusters=True
    ),
    "DANet-sigmoid": System(
        lambda: DANet(layers=1, hidden=16, anchors=3, activation="sigmoid"), {}
    ),
    "Chimera-MISI": System(lambda: Chimera.tiny(misi_iterations=2), {}),
    "ConvTasNet": System(ConvTasNet.tiny, {"{}": 5_050_545, '{"last_residual": false}': 4_984_881}),
    "ConvTasNet-causal": System(
        lambda: ConvTasNet.tiny(causal=True), {'{"causal": true}': 5_050_545}
    ),
    "ConvTasNet-channel": System(
        lambda: ConvTasNet(3, 32, 16, 16, 32, 16, taps=5, blocks=3, repeats=2, norm="channel"), {}
    ),
    "TasNet": System(
        TasNet.tiny,
        {
            "{}": 23_094_000,
            '{"causal": true}': 31_094_000,
            '{"variant": "2018-b"}': 23_094_000,
            '{"causal": true, "variant": "2018-b"}': 31_094_000,
        },
    ),
    "TasNet-2018-a": System(lambda: TasNet(filters=32, layers=4, hidden=16), {}),
    "TasNet-2018-a-causal": System(
        lambda: TasNet(3, filters=32, kernel_size=16, layers=4, hidden=16, causal=True), {}
    ),
    "TasNet-2018-b-causal": System(lambda: TasNet.tiny(causal=True), {}),
    "DPRNN": System(DPRNN.tiny, {"{}": 2_608_065, '{"causal": true}': 1_962_945}),
    "SepFormer": System(SepFormer.tiny, {"{}": 25_679_361, '{"speakers": 3}': 25_745_153}),
    "DPRNN-causal": System(lambda: DPRNN(2, 16, 8, 12, 9, 2, 10, causal=True), {}),
    "DPTNet": System(DPTNet.tiny, {"{}": 2_834_945}),
    "SuDoRMRF": System(SuDoRMRF.tiny, {"{}": 2_649_732, '{"blocks": 4}': 778_884}),
    "UPIT-3-speakers": System(lambda: UPIT.tiny(speakers=3), {}),
    "DeepClustering-3-speakers": System(
        lambda: DeepClustering(speakers=3, layers=1, hidden=16, dimensions=4), {}, clusters=True
    ),
    "OpenUnmix-Wiener": System(
        lambda: OpenUnmix(
            ["speech", "noise"], None, 1, 256, 64, None, 16, 1, log=True, wiener_iterations=1
        ),
        {},
    ),
    "DCCRN": System(DCCRN.tiny, {"{}": 3_671_053, '{"variant": "E"}': 3_981_581}, mono=False),
    "DCCRN-whitening": System(
        lambda: DCCRN(
            [2, 3, 4], 6, 2, "real", n_fft=60, win_length=48, hop_length=12, norm="whitening"
        ),
        {},
        mono=False,
    ),
    "DCUNet": System(
        DCUNet.tiny,
        {
            "{}": 7_662_304,
            '{"variant": "10"}': 1_421_890,
            '{"variant": "16"}': 2_375_490,
            '{"variant": "20"}': 3_527_850,
            '{"variant": "10", "arithmetic": "real"}': 2_841_730,
        },
        mono=False,
    ),
    "DCUNet-whitening": System(
        lambda: DCUNet("16", [2, 2, 3, 3] + [4] * 4, n_fft=64, hop_length=16, norm="whitening"),
        {},
        mono=False,
    ),
    "DCUNet-real": System(lambda: DCUNet.tiny(arithmetic="real"), {}, mono=False),
    "D3Net": System(D3Net.tiny, {"{}": 2_966_509}),
    "BandSplitRNN": System(
        BandSplitRNN.tiny,
        {
            "{}": 36_417_160,
            '{"target": "other"}': 36_417_160,
            '{"target": "bass"}': 32_797_192,
            '{"target": "drums"}': 41_024_392,
        },
        mono=False,
    ),
    "BandSplitRNN-stems": System(
        lambda: BandSplitRNN(
            ["drums", "bass"], None, None, 4, 6, 2, n_fft=200, hop_length=50, sample_rate=8000
        ),
        {},
        mono=False,
    ),
    "BandSplitRoFormer": System(
        BandSplitRoFormer.tiny,
        {"{}": 72_173_292, '{"layers": 9}': 82_824_732, '{"layers": 12}': 93_476_172},
        mono=False,
    ),
    "BandSplitRoFormer-mel": System(
        lambda: BandSplitRoFormer(
            ["one", "two"], None, 1, "mel", 8, 2, 1, n_fft=600, hop_length=100, sample_rate=16000
        ),
        {},
        mono=False,
    ),
    "MDXNet": System(
        MDXNet.tiny, {json.dumps({"target": target}): 7_423_236 for target in FRAMES}, mono=False
    ),
    "MDXNet-stems": System(
        lambda: MDXNet(["one", "two"], None, 1, 200, 50, 64, 4, 2, 2, sample_rate=8000),
        {},
        mono=False,
    ),
    "WaveUNet": System(WaveUNet.tiny, {"{}": 10_263_028, '{"variant": "M4"}': 10_263_390}),
    "WaveUNet-same": System(
        lambda: WaveUNet(filters=4, depth=4, padding="same", activation="linear"), {}
    ),
    "WaveUNet-learned": System(
        lambda: WaveUNet(
            ["one", "two", "three"], 1, 4, 4, 7, 3, upsampling="learned", activation="linear"
        ),
        {},
    ),
    "Demucs": System(Demucs.tiny, {"{}": 265_679_496, '{"filters": 48}': 149_462_504}),
    "Demucs-sizes": System(
        lambda: Demucs([*"abc"], 1, 3, 2, 7, 3, 1, 1, normalize=True, sample_rate=8000), {}
    ),
    "Denoiser": System(
        Denoiser.tiny,
        {
            "{}": 18_867_937,
            '{"hidden": 64}': 33_533_569,
            '{"hidden": 64, "causal": false}': 60_813_953,
        },
    ),
    "Denoiser-utterance": System(
        lambda: Denoiser(3, 3, 6, 2, 2, 1, causal=False, normalize="utterance", residual=None), {}
    ),
    "Denoiser-sizes": System(lambda: Denoiser(6, 3, 7, 3, 1, 1, normalize=None), {}),
    "HybridDemucs": System(HybridDemucs.tiny, {"{}": 83_637_832}),
    "HybridDemucs-sizes": System(
        lambda: HybridDemucs(
            [*"abc"], 1, 4, 4, 64, 2, 2, 4, 2, decoder_branches=True, sample_rate=8000
        ),
        {},
    ),
    "HTDemucs": System(HTDemucs.tiny, {"{}": 41_984_456}),
    "HTDemucs-sizes": System(
        lambda: HTDemucs([*"abc"], 1, 4, 2, 64, 2, 2, bottleneck=8, layers=2, heads=2, segment=0.3),
        {},
    ),
}
every_system = pytest.mark.parametrize("name", SYSTEMS)


def build(name: str) -> Separator:
    torch.manual_seed(0)
    return SYSTEMS[name].build().eval()


def frame(model: Separator) -> tuple[int, int]:
    """Samples of a frame, and between frames; without any, of what the lowest rate skips."""
    if isinstance(model, WaveUNet):
        return model.stride, model.stride
    if isinstance(model, Denoiser):
        return model.frame, model.stride
    if isinstance(model, Demucs):
        size, stride, depth, _ = model.sizes
        return size, stride**depth
    if isinstance(model, HybridDemucs):
        return model.stft.n_fft, model.stft.hop_length
    encoder = model.encoder
    if isinstance(model, SpectrogramSeparator):
        return encoder.n_fft, encoder.hop_length
    return encoder.kernel_size, encoder.stride


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_every_system_is_in_the_battery():
    systems = {
        name
        for name in lib.models.__all__
        if inspect.isclass(system := getattr(lib.models, name))
        and "small" in vars(system)
        and system is not Separator
    }
    assert systems == {type(build(name)).__name__ for name in SYSTEMS}


@pytest.mark.parametrize(
    "name, arguments, parameters",
    [(name, *size) for name, system in SYSTEMS.items() for size in system.sizes.items()],
)
def test_published_size(name, arguments, parameters):
    with torch.device("meta"):
        paper = type(build(name)).paper(**json.loads(arguments))
        assert sum(weights.numel() for weights in paper.parameters()) == parameters


@every_system
@pytest.mark.parametrize("time", [1, 15, 16, 17, 997, 8001])
def test_estimates_are_as_long_as_the_mixture(name, time):
    model = build(name)
    with torch.no_grad():
        estimates = model(noise(2, 1, time))
    assert estimates.shape == (2, model.sources, 1, time)
    assert len(model.source_names) == model.sources
    assert torch.isfinite(estimates).all()


@every_system
def test_lookahead_is_as_declared(name):
    """Change one sample and see how far before it the output changes: exactly, in float64."""
    model, time = build(name).double(), 2048
    window, hop = frame(model)
    mixture = noise(1, 1, time, dtype=torch.float64)
    with torch.no_grad():
        before = model(mixture)
        furthest = 0
        # every phase of the hop, and of the hop of chunks, so that the maximum is found
        phases = hop * (model.config.get("chunk", 2) // 2)
        for place in range(1024, 1024 + phases, 1 if model.is_causal else phases):
            changed = mixture.clone()
            changed[..., place] += 1.0
            different = (model(changed) != before).any(0).any(0).any(0).nonzero()
            furthest = max(furthest, place - int(different.min()))
    if model.is_causal:
        assert furthest == model.lookahead
    else:
        assert model.lookahead is None
        assert furthest > window  # further than any frame: the network looks there


@every_system
def test_items_of_a_batch_and_their_order_do_not_matter(name):
    model = build(name)
    mixture = noise(3, 1, 2000) * torch.tensor([1.0, 0.1, 5.0])[:, None, None]  # of all levels
    with torch.no_grad():
        together = model(mixture)
        alone = torch.cat([model(one[None]) for one in mixture])
        reversed_batch = model(mixture.flip(0)).flip(0)
    if SYSTEMS[name].clusters:  # the number of a cluster means nothing
        together, alone, reversed_batch = map(by_energy, (together, alone, reversed_batch))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together, reversed_batch, atol=1e-5, rtol=1e-4)


def by_energy(estimates):
    """Put the sources of each item into an order that does not depend on their numbers."""
    order = estimates.square().sum((2, 3)).argsort(1)
    return estimates.gather(1, order[:, :, None, None].expand_as(estimates))


@every_system
def test_channels_get_one_mask_and_their_order_does_not_matter(name):
    model, mixture = build(name), noise(1, 2, 2000)
    if model.channels == 1:
        with pytest.raises(InputError, match="one channel, got 2; run each channel by itself"):
            model(mixture)
        return
    with torch.no_grad():
        estimates, swapped = model(mixture), model(mixture.flip(1)).flip(2)
    torch.testing.assert_close(estimates, swapped, atol=1e-5, rtol=1e-4)
    if SYSTEMS[name].mono and not getattr(model, "misi_iterations", 0):
        spectrogram = model.encoder(mixture)
        assert model.masker(spectrogram).shape[2] == 1


@every_system
@pytest.mark.parametrize("signal", ["silence", "constant", "faint", "loud", "silent target"])
def test_output_and_gradients_are_finite(name, signal):
    model = build(name)
    sources = noise(2, model.sources, 1, 1500)
    if signal == "silent target":
        sources[:, 0] = 0
    elif signal == "constant":
        sources = torch.full_like(sources, 0.3)
    else:
        sources *= {"silence": 0, "faint": 1e-4, "loud": 1e4}[signal]
    mixture = sources.sum(1)
    with torch.no_grad():
        assert torch.isfinite(model(mixture)).all()
    assert torch.isfinite(model.train()(mixture)).all()
    loss = own_objective(model)(model, mixture, sources)
    assert torch.isfinite(loss).all()
    loss.sum().backward()
    gradients = [weights.grad for weights in model.parameters() if weights.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def own_objective(model):
    if isinstance(model, DeepClustering):
        return make_objective("deep_clustering")
    if isinstance(model, DANet) and model.masker.anchors is None:
        return make_objective("attractor")
    if isinstance(model, Chimera) and not model.misi_iterations:
        return make_objective("chimera")
    if isinstance(model, (CDAE, DeepKaraoke)):
        return make_objective("spectrogram")
    if isinstance(model, Denoiser):
        return make_objective("l1_stft")
    return make_objective("waveform")


@every_system
def test_a_checkpoint_gives_the_same_estimates(name, tmp_path):
    model, mixture = build(name), noise(1, 1, 1500)
    model.calibrate([3 * noise(1, 1500, seed=1)])
    model.train()(noise(2, 1, 1500, seed=2))  # so that running statistics are not as built
    model.eval().save(tmp_path / "one", {"seed": 3})
    again = Separator.from_pretrained(tmp_path / "one")
    assert type(again) is type(model)
    assert again.config == json.loads(json.dumps(model.config))
    assert card(tmp_path / "one") == {"seed": 3}
    with torch.no_grad():
        assert torch.equal(model(mixture), model(mixture))
        assert torch.equal(again(mixture), model(mixture))
        assert torch.equal(copy.deepcopy(model)(mixture), model(mixture))


with torch.device("meta"):
    MASKING = [name for name in SYSTEMS if isinstance(build(name), EncoderMaskerDecoder)]


@pytest.mark.parametrize("name", MASKING)
def test_a_dull_mask_gives_the_mixture_back(name):
    """A mask of ones, shared among the sources, as MISI and the Wiener filter want their sum."""
    model, mixture = build(name), noise(2, 1, 1777)
    # two systems answer with magnitudes and spectrograms instead
    whole = {CDAE: torch.abs, MDXNet: torch.clone}.get(type(model), ones)
    model.masker = EqualShares(model.sources, whole)
    estimates = model(mixture)
    if isinstance(model, TimeDomainSeparator):  # as far as its bank gives it back
        mixture = model.encoder.inverse(model.encoder(mixture), mixture.shape[-1]).detach()
    expected = (mixture / model.sources)[:, None].expand_as(estimates)
    torch.testing.assert_close(estimates, expected, atol=2e-5, rtol=1e-4)


def ones(features):
    return torch.ones_like(features.abs())


class EqualShares(torch.nn.Module):
    def __init__(self, sources, whole):
        super().__init__()
        self.sources, self.whole = sources, whole

    def forward(self, features):
        return torch.stack([self.whole(features) / self.sources] * self.sources, 1)


@every_system
def test_the_receptive_field_is_as_declared(name):
    """A finite one to the sample; else the first sample is heard in the last of the estimates."""
    model = build(name).double()
    window, hop = frame(model)
    if model.receptive_field is not None:
        mixture = noise(1, 1, 2 * model.receptive_field + hop, dtype=torch.float64)
        estimates, spans = model(mixture.requires_grad_()), []
        for place in range(model.receptive_field, model.receptive_field + hop):
            (slope,) = torch.autograd.grad(estimates[0, 0, 0, place], mixture, retain_graph=True)
            heard = slope[0, 0].nonzero()
            spans.append(int(heard.max() - heard.min()) + 1)
        assert max(spans) == model.receptive_field
        return
    mixture = noise(1, 1, 3 * window, dtype=torch.float64)
    changed = mixture.clone()
    changed[..., 0] += 30.0
    with torch.no_grad():
        before, after = model(mixture), model(changed)
    if SYSTEMS[name].clusters:
        before, after = map(by_energy, (before, after))
    assert (before != after)[..., -hop:].any()


CAUSAL = ["DeepRNN", "OpenUnmix-causal", "UPIT-causal", "ConvTasNet-causal"]
CAUSAL += ["TasNet-2018-a-causal", "TasNet-2018-b-causal", "DPRNN-causal", "DCCRN"]
CAUSAL += ["Denoiser", "Denoiser-sizes"]


@pytest.mark.parametrize("name", CAUSAL)
def test_what_is_cut_off_behind_the_lookahead_is_not_missed(name):
    """What streaming rests on: the beginning of the mixture gives the beginning of the answer."""
    model, mixture = build(name).double(), noise(1, 1, 3000, dtype=torch.float64)
    with torch.no_grad():
        whole, heard = model(mixture), 2001
        beginning = model(mixture[..., :heard])
    ready = heard - model.lookahead
    torch.testing.assert_close(beginning[..., :ready], whole[..., :ready], atol=1e-12, rtol=0)
    assert (beginning - whole[..., :heard])[..., ready:].abs().max() > 1e-6


@pytest.mark.parametrize("system", [OpenUnmix, UPIT, DeepClustering, DANet, Chimera])
def test_dropout_ends_with_training(system):
    torch.manual_seed(0)
    model = system(n_fft=64, hop_length=16, layers=2, hidden=8, dropout=0.5)
    spectrogram = model.encoder(noise(2, 1, 500))
    answer = getattr(model, "embeddings", model.masker)
    assert not torch.equal(answer(spectrogram), answer(spectrogram))
    model.eval()
    assert torch.equal(answer(spectrogram), answer(spectrogram))


@every_system
def test_half_precision_with_the_loss_in_single(name):
    model = build(name).train()
    sources = noise(2, model.sources, 1, 1500)
    with torch.autocast("cpu", torch.bfloat16):
        loss = own_objective(model)(model, sources.sum(1), sources)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss).all()


@pytest.mark.parametrize(
    "name, least_db",
    # shares that add up to 1 reach no more than 14.7 dB with DeepRNN's STFT on this mixture, see
    # below, and 17.5 dB with ADANet's
    [("UPIT", 15), ("OpenUnmix", 15), ("DeepRNN", 14), ("ADANet", 15), ("Chimera", 15)]
    + [("ConvTasNet", 15), ("TasNet", 15), ("DPRNN", 15), ("SepFormer", 15)],
)  # DeepKaraoke and CDAE learn theirs in test_models_spectrogram.py
def test_learns_one_mixture(name, least_db):
    """More than 15 dB over the mixture, where the masks allow it."""
    model = build(name)
    model = type(model)(**(model.config | ONE_MIXTURE[name])).train()
    item = TwoSpeakers("train", items=4, seed=5, seconds=0.8, sample_rate=model.sample_rate)[1]
    mixture, sources = item.mixture[None], item.sources[None]
    model.calibrate([item.mixture])
    # scale-invariant, a residual would do well with a target that has swallowed the mixture
    objective = make_objective("waveform", loss="snr" if name == "OpenUnmix" else "si_snr")
    optimiser = torch.optim.Adam(model.parameters(), 4e-3)
    for _ in range(250):
        optimiser.zero_grad()
        objective(model, mixture, sources).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
    with torch.no_grad():
        estimates = model.eval()(mixture)[0]
    estimates = estimates[best_order(estimates, item.sources)] if model.any_order else estimates
    gain = si_sdr(estimates, item.sources) - si_sdr(item.mixture.expand_as(sources[0]), sources[0])
    assert gain.mean() > least_db


# wider than tiny(); a ReLU mask may exceed 1, as it must where speakers cancel each other
ONE_MIXTURE: dict[str, dict] = {
    "UPIT": {"activation": "relu", "hidden": 128},
    "OpenUnmix": {"activation": "relu", "hidden": 128, "n_fft": 1024, "hop_length": 256},
    "DeepRNN": {},
    "ADANet": {"hidden": 128},
    "Chimera": {"hidden": 128},
    "ConvTasNet": {},
    "DPRNN": {},
    "SepFormer": {},
    "TasNet": {},
}


def test_shares_that_add_up_to_one_have_a_limit():
    """The best shares for the mixture that DeepRNN learns above, found without any network."""
    stft = build("DeepRNN").encoder
    item = TwoSpeakers("train", items=4, seed=5, seconds=0.8, sample_rate=16000)[1]
    spectrogram = stft(item.mixture)
    logits = torch.zeros(spectrogram.shape, requires_grad=True)
    optimiser = torch.optim.Adam([logits], 0.5)
    for _ in range(100):
        share = logits.sigmoid()
        estimates = stft.inverse(torch.stack([share, 1 - share]) * spectrogram, 12800)
        score = si_sdr(estimates, item.sources).mean()
        optimiser.zero_grad()
        (-score).backward()
        optimiser.step()
    gain = score - si_sdr(item.mixture.expand_as(item.sources), item.sources).mean()
    assert 14 < gain < 15


@pytest.mark.parametrize("name", ["DeepClustering", "DANet"])
def test_embeddings_of_one_mixture_reach_the_binary_mask(name):
    model = build(name).train()
    item = TwoSpeakers("train", items=4, seed=5, seconds=0.8)[1]
    mixture, sources = item.mixture[None], item.sources[None]
    objective = own_objective(model)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(200):
        optimiser.zero_grad()
        objective(model, mixture, sources).mean().backward()
        optimiser.step()
    with torch.no_grad():
        estimates = model.eval()(mixture)[0]
    ideal = OracleMask("ibm", model.encoder)(mixture, sources)[0]
    reached = si_sdr(estimates[best_order(estimates, item.sources)], item.sources).mean()
    assert reached > si_sdr(ideal, item.sources).mean() - 1.5


def weights_by_rule(model):
    """Give a model weights that anyone can make again."""
    with torch.no_grad():
        for index, (_, weights) in enumerate(sorted(model.named_parameters())):
            steps = torch.arange(weights.numel(), dtype=torch.float64) + 7 * index
            weights.copy_(0.5 * torch.sin(0.37 * steps + index).reshape(weights.shape))
    return model


def golden_answer(name):
    """What the network of a system says of a signal by rule: 20 of its numbers."""
    model = weights_by_rule(build(name).double())
    steps = torch.arange(1500, dtype=torch.float64)
    mixture = (torch.sin(0.001 * steps**1.5) + 0.3 * torch.sin(0.9 * steps))[None, None]
    with torch.no_grad():
        if SYSTEMS[name].clusters:  # before k-means, whose clusters have no order
            answer = model.embeddings(model.encoder(mixture))
        else:
            answer = model(mixture)
    answer = answer.flatten()
    return answer[torch.linspace(0, len(answer) - 1, 20, dtype=torch.float64).round().long()]


@every_system
def test_answers_as_stored(name):
    stored = torch.tensor(json.loads(GOLDEN.read_text())[name], dtype=torch.float64)
    assert stored.std() > 1e-5
    torch.testing.assert_close(golden_answer(name), stored, atol=1e-6, rtol=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_masks_of_two_speakers_by_softmax_share_the_mixture(seed):
    model = UPIT.tiny(activation="softmax")
    mixture = noise(1, 1, 600, seed=seed)
    with torch.no_grad():
        torch.testing.assert_close(model(mixture).sum(1), mixture, atol=1e-5, rtol=1e-5)


@every_system
def test_the_presets_are_one_system_in_three_sizes(name):
    system = type(build(name))
    with torch.device("meta"):
        sizes = [
            sum(weights.numel() for weights in preset().parameters())
            for preset in (system.tiny, system.small, system.paper)
        ]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("bad", [torch.zeros(1, 100), torch.full((1, 1, 100), torch.nan)])
def test_a_mixture_that_is_none_is_refused(bad):
    with pytest.raises(InputError, match="mixture: expected"):
        UPIT.tiny()(bad)


# checkpoints


def test_a_name_that_is_none_lists_what_there_is():
    with pytest.raises(
        InputError, match="a folder with config.json, .*openunmix/umxhq.* got 'no-such'"
    ):
        Separator.from_pretrained("no-such")


def test_a_checkpoint_of_another_system_is_refused(tmp_path):
    UPIT.tiny().save(tmp_path / "upit")
    with pytest.raises(InputError, match="checkpoint of DeepClustering, got one of UPIT"):
        DeepClustering.from_pretrained(tmp_path / "upit")


@pytest.mark.parametrize(
    "file, change, error, message",
    [
        ("weights.safetensors", lambda b: b[:-1] + b"x", DataError, "damaged"),
        ("weights.safetensors", lambda b: b[:100], DataError, "damaged"),
        ("config.json", lambda b: b[:20], DataError, "expected a JSON object"),
        ("config.json", lambda b: b.replace(b"UPIT", b"Umph"), InputError, "got 'Umph'"),
        ("config.json", lambda b: b.replace(b'"hidden"', b'"hiden"'), InputError, "hiden"),
        ("config.json", lambda b: b.replace(b'hidden": 64', b'hidden": 32'), DataError, "others"),
        ("config.json", lambda b: b.replace(b'"format": 1', b'"format": 9'), InputError, "9"),
        ("config.json", lambda b: b.replace(b'"hidden": 64', b'"hidden": -1'), InputError, "zero"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, file, change, error, message):
    UPIT.tiny().save(tmp_path / "one")
    path = tmp_path / "one" / file
    content = path.read_bytes()
    assert change(content) != content
    path.write_bytes(change(content))
    with pytest.raises(error, match=message):
        load(tmp_path / "one")


def test_a_checkpoint_is_never_unpickled(tmp_path, monkeypatch):
    """Neither a pickle in the place of the weights, hash and all, nor the right file."""
    UPIT.tiny().save(tmp_path / "one")
    monkeypatch.setattr("pickle.Unpickler", None)
    monkeypatch.setattr("torch.load", None)
    load(tmp_path / "one")
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    (tmp_path / "one" / "weights.safetensors").write_bytes(trap)
    config["sha256"] = hashlib.sha256(trap).hexdigest()
    (tmp_path / "one" / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="expected the weights of UPIT"):
        load(tmp_path / "one")
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_saving_fails_whole(tmp_path, monkeypatch):
    UPIT.tiny().save(tmp_path / "one", {"seed": 1})
    broken = UPIT.tiny()
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.inf)
    with pytest.raises(InputError, match="expected finite weights"):
        broken.save(tmp_path / "one")
    with pytest.raises(ValueError):
        UPIT.tiny().save(tmp_path / "one", {"seed": float("nan")})
    assert card(tmp_path / "one") == {"seed": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(InputError, match="got something else"):
        UPIT.tiny().save(tmp_path / "mine")


def test_half_precision_weights_take_half_the_room(tmp_path):
    model = UPIT.tiny()
    sizes = [
        (save(model, tmp_path / dtype, dtype=dtype) / "weights.safetensors").stat().st_size
        for dtype in ("float32", "float16")
    ]
    assert sizes[1] < 0.52 * sizes[0]
    assert next(load(tmp_path / "float16").parameters()).dtype == torch.float32


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_checkpoint_is_documented_and_works(name):
    model, about = Separator.from_pretrained(name), card(name)
    assert not model.training
    for key in ("data", "recipe", "seed", "curve", "hours", "machine", "scores", "licence"):
        assert about[key] not in (None, "", {}, []), key
    with torch.no_grad():
        estimates = model(noise(1, 1, 4000))
    assert estimates.shape == (1, model.sources, 1, 4000)


def test_shipped_checkpoints_are_small():
    assert sum(path.stat().st_size for path in PRETRAINED.rglob("*") if path.is_file()) < 60e6


# the texts of the modules


def module_text(name):
    return inspect.getdoc(inspect.getmodule(type(build(name))))


@every_system
def test_a_module_names_its_paper_its_symbols_and_its_deviations(name):
    text = module_text(name)
    head, _, deviations = text.partition("\nDeviations:\n")
    assert re.search(
        r"(ICASSP|Interspeech|MLSP|ISMIR|TASLP|GlobalSIP|WASPAA|LVA/ICA|JOSS|ICLR)[\s\S]*20\d\d",
        head,
    )
    assert deviations.count("    - ") >= 2
    ruler, title, rows = re.search(r"^(=[= ]+)\n(.*)\n\1\n([\s\S]*?)\n\1$", head, re.M).groups()
    column = slice(*re.search(r" (=+) ", ruler).span(1))
    assert title[column].strip() == "argument"
    system = type(build(name))
    known = {*inspect.signature(system).parameters, *dir(system), "gamma"}  # the last of a loss
    symbols = [re.match(r"``(\w+)", row[column]) for row in rows.splitlines()]
    assert any(symbols)
    assert {symbol[1] for symbol in symbols if symbol} <= known


# what small() and tiny() do otherwise than paper(), as the module texts say
@pytest.mark.parametrize(
    "system, published, course",
    [
        (CDAE, {"log": False}, {"log": True}),
        (DeepKaraoke, {"log": False, "threshold": 0.5}, {"log": True, "threshold": None}),
        (DeepKaraoke, {"step": 1, "hidden": None}, {}),
        (DeepRNN, {"log": False}, {"log": True}),
        (OpenUnmix, {"log": False, "activation": "relu"}, {"log": True, "activation": "sigmoid"}),
        (UPIT, {"log": False, "hop_length": 128}, {"log": True, "hop_length": 64}),
        (DeepClustering, {"dropout": 0.5}, {"dropout": 0}),
    ],
)
def test_the_smaller_presets_deviate_as_listed(system, published, course):
    with torch.device("meta"):
        for preset, options in (
            (system.paper, published),
            (system.small, course),
            (system.tiny, course),
        ):
            assert options.items() <= preset().config.items()
        if "step" in published:
            assert system.tiny().config["step"] > system.small().config["step"] > 1
