"""Chapter 14: what its text claims is true, of transforms, latency and the published tables."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from lib.data import Item, clips, speech
from lib.evaluation import best_order
from lib.filterbanks import STFTFilterbank, centre_frequencies, make_filterbank, pseudo_inverse
from lib.metrics import si_sdr
from lib.mixing import mix_at_snr
from lib.models import ConvTasNet, TasNet
from lib.published import published
from lib.results import benchmark
from lib.training.live import train_live

RATE = 8000

# ------------------------------------------------------------------ the transform


def round_trip_error(filters: torch.Tensor, rectified: bool, gain: float = 1) -> float:
    noise = torch.randn(1, 1, 2000, dtype=torch.float64)
    features = functional.conv1d(noise, filters, stride=20)
    features = features.relu() if rectified else features
    decoder = gain * pseudo_inverse(filters, 20)
    again = functional.conv_transpose1d(features, decoder, stride=20)
    return float((again - noise)[..., 40:-40].abs().max())


def test_what_loses_something_on_the_way():
    torch.manual_seed(14)
    few, enough, many = (torch.randn(n, 1, 40, dtype=torch.float64) for n in (20, 40, 500))
    assert round_trip_error(few, False) > 0.1
    assert round_trip_error(enough, False) < 1e-8 and round_trip_error(many, False) < 1e-8
    assert round_trip_error(enough, True) > 0.1
    # what a rectifier takes from a filter stays in the filter's negative
    assert round_trip_error(torch.cat([enough, -enough]), True, gain=2) < 1e-8


def test_masks_are_shares_that_do_not_mind_the_level():
    torch.manual_seed(0)
    model, sound = TasNet(hidden=20), torch.randn(1, 1, 2000)
    with torch.no_grad():
        features = model.encoder(sound)
        masks, louder = model.masker(features), model.masker(model.encoder(100 * sound))
    assert features.shape[1:] == (500, 50) and (features >= 0).all()
    assert torch.allclose(masks.sum(1), torch.ones(()))
    assert torch.allclose(louder, masks, atol=1e-4)


def test_how_many_numbers_a_bank_learns():
    counts = {
        name: sum(p.numel() for p in make_filterbank(name, 128, 32).parameters())
        for name in ("stft", "gammatone", "sinc", "analytic", "free")
    }
    assert counts == {"stft": 0, "gammatone": 4096, "sinc": 256, "analytic": 4096, "free": 8192}


# ------------------------------------------------------------------ latency


@pytest.mark.parametrize(("size", "hop"), [(16, 8), (40, 40), (40, 20), (64, 32), (256, 64)])
@pytest.mark.parametrize("variant", ["2018-a", "2018-b"])
def test_a_sample_waits_for_the_end_of_the_frame_that_it_begins(size, hop, variant):
    torch.manual_seed(0)
    net = TasNet(
        variant=variant, filters=32, kernel_size=size, stride=hop, layers=1, hidden=8, causal=True
    )
    noise, places = torch.randn(1, 1, 900, dtype=torch.float64), torch.arange(400, 400 + hop)
    changed = noise.repeat(hop, 1, 1)
    changed[range(hop), 0, places] += 1
    with torch.no_grad():
        change = net.double().eval()(changed) - net(noise)
    first = (change.abs() > 1e-12).any(1)[:, 0].int().argmax(1)
    assert int((places - first).max()) == net.lookahead == size - 1


def test_a_blstm_waits_for_the_end():
    assert TasNet(hidden=8).lookahead is None and not TasNet(hidden=8).is_causal


# ------------------------------------------------------------------ the published rows


def test_four_networks_by_the_name_of_tasnet():
    table = published("WSJ0-2mix")
    values = {}
    for name, paper in (
        ("TasNet-LSTM", "ICASSP"),
        ("TasNet-BLSTM", "ICASSP"),
        ("LSTM-TasNet", "Table IV"),
        ("BLSTM-TasNet", "Table IV"),
    ):
        rows = table[(table.system == name) & table.source_paper.str.contains(paper)]
        rows = rows[rows.metric.isin(["SI-SNRi", "SDRi"])]
        values[name] = tuple(rows.set_index("metric").value[["SI-SNRi", "SDRi"]])
    assert values == {
        "TasNet-LSTM": (7.7, 8.0),
        "TasNet-BLSTM": (10.8, 11.1),
        "LSTM-TasNet": (10.8, 11.2),
        "BLSTM-TasNet": (13.2, 13.6),
    }
    # "3.1 dB in the first paper, 2.4 dB in the update"
    assert values["TasNet-BLSTM"][0] - values["TasNet-LSTM"][0] == pytest.approx(3.1)
    assert values["BLSTM-TasNet"][0] - values["LSTM-TasNet"][0] == pytest.approx(2.4)


def test_our_sizes_lie_below_the_published_ones():
    sizes = published(metric="parameters").set_index("system").value
    for name, causal, count in (
        ("BLSTM-TasNet", False, 23_094_000),
        ("LSTM-TasNet", True, 31_094_000),
    ):
        with torch.device("meta"):
            model = TasNet.paper(causal=causal)
        assert sum(p.numel() for p in model.parameters()) == count
        assert sum(p.numel() for p in model.encoder.parameters()) == 60_000
        assert 0.4e6 < 1e6 * sizes[name] - count < 1e6


# ------------------------------------------------------------------ the experiments


@pytest.fixture(scope="module")
def duets():
    """A woman and a man of the training set: mixtures to learn from, and held out ones."""
    voices = clips("speech", "train")
    pair = [voices[voices.sex == sex].speaker.iloc[0] for sex in "FM"]
    count = int(voices.speaker.value_counts()[pair].min())

    def drawn(number, utterances, seed):
        draw, items = torch.Generator().manual_seed(seed), []
        for index in range(number):
            picked = torch.randint(*utterances, (2,), generator=draw).tolist()
            cuts = [
                speech("train", who, place, RATE)[:, 4000:12000]
                for who, place in zip(pair, picked, strict=True)
            ]
            mixed = mix_at_snr(*cuts, 6 * float(torch.rand(1, generator=draw)) - 3)
            items.append(Item(mixed.mixture, torch.stack(mixed[1:]), RATE, f"duet-{index}", {}))
        return items

    return drawn(256, (0, count - 6), 0), drawn(20, (count - 6, count), 1)


def gain(model, duets) -> float:
    """SI-SDRi in dB on held out mixtures after a short training."""
    train_live(model, duets[0], "waveform", 150, learning_rate=3e-3, show=False)
    mixtures, sources = (
        torch.stack([getattr(one, k) for one in duets[1]]) for k in ("mixture", "sources")
    )
    with torch.no_grad():
        estimates = model(mixtures)
    ordered = [e[best_order(e, s)] for e, s in zip(estimates, sources, strict=True)]
    floor = si_sdr(mixtures[:, None].expand_as(sources), sources)
    return float((si_sdr(torch.stack(ordered), sources) - floor).mean())


def test_the_learned_bank_leads_and_the_stft_comes_next(duets):
    values = {}
    for name in ("learned", "stft", "random"):
        torch.manual_seed(0)
        model = ConvTasNet.tiny(bank="stft" if name == "stft" else "free")
        if name == "random":
            bank = model.encoder
            bank.decoder_filters.data = pseudo_inverse(bank.encoder_filters.data, bank.stride)
            bank.requires_grad_(False)
        values[name] = gain(model, duets)
    assert values["learned"] > max(values["stft"], values["random"]) + 0.5, values
    assert values["stft"] > values["random"] + 0.2, values


def test_shorter_windows_help_a_small_blstm(duets):
    values = {}
    for size in (128, 32):
        torch.manual_seed(0)
        sizes = {"filters": 128, "kernel_size": size, "layers": 1, "hidden": 64}
        values[size] = gain(TasNet(variant="2018-b", activation="relu", **sizes), duets)
    assert values[32] > values[128] + 0.5, values


# ------------------------------------------------------------------ the shipped basis


def near_centre(filters: torch.Tensor) -> float:
    """Mean share of a signal's energy within 250 Hz of its centre frequency."""
    power = torch.fft.rfft(filters[:, 0], 2048).abs().square()
    hertz = torch.arange(1025) * RATE / 2048
    near = (hertz - centre_frequencies(filters)[:, None]).abs() < 250
    return float(((power * near).sum(1) / power.sum(1)).mean())


def test_learned_basis_signals_are_low_waves():
    bank = ConvTasNet.from_pretrained("conv-tasnet-small").encoder
    encoder, decoder = bank.analysis().detach(), bank.synthesis().detach()
    random = near_centre(torch.rand(256, 1, 32, generator=torch.Generator().manual_seed(0)) - 0.5)
    assert near_centre(decoder) > near_centre(encoder) + 0.1
    assert near_centre(decoder) > random + 0.2
    below = (centre_frequencies(decoder) < 1000).float().mean()
    assert below > 0.55
    stft = STFTFilterbank(256, 32).synthesis()
    assert (centre_frequencies(stft) < 1000).float().mean() == pytest.approx(0.25, abs=0.02)


def missing(parts: torch.Tensor, sound: torch.Tensor) -> float:
    """The energy that no weighted sum of the parts (P, T) explains, in dB of the sound's (T)."""
    weights = torch.linalg.lstsq(parts.T.double(), sound[:, None].double()).solution
    rest = sound.double() - (parts.T.double() @ weights)[:, 0]
    return float(10 * (rest.square().sum() / sound.double().square().sum()).log10())


@torch.no_grad()
def test_masks_of_one_return_the_mixture_from_an_stft_only():
    mixture = benchmark("two_speakers").dataset()[0].mixture
    stft = STFTFilterbank(256, 32)
    assert missing(stft.inverse(stft(mixture[None]), mixture.shape[-1])[0], mixture[0]) < -80
    plain, masked = {}, {}
    for system, name in ((ConvTasNet, "conv-tasnet-small"), (TasNet, "tasnet-small")):
        model = system.from_pretrained(name)
        ones = model.encoder.inverse(model.encoder(mixture[None]), mixture.shape[-1])[0]
        plain[name] = missing(ones, mixture[0])
        masked[name] = missing(model(mixture[None])[0, :, 0], mixture[0])
    assert plain["conv-tasnet-small"] > -3
    assert -20 < plain["tasnet-small"] < -5
    assert max(masked.values()) < -15
