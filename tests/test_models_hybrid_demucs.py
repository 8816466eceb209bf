"""Hybrid Demucs: against its authors' and torchaudio's classes, and its parts one by one.

The authors' package is in the optional group ``peers``; without it its stored answers stand in.
"""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning import gain_on_one_song
from peers import (
    assert_same,
    by_rule,
    noise,
    stereo,
    stored,
    stored_samples,
    with_weights_of,
)
from torch.nn import functional

import lib  # noqa: F401 - lets torchaudio load
from lib.errors import InputError
from lib.models import HybridDemucs
from lib.models.official.demucs import from_demucs
from lib.nn import hybrid_demucs
from lib.nn.hybrid_demucs import (
    AlignedSTFT,
    ChunkedBLSTM,
    DecoderLayer,
    EncoderLayer,
    FrequencyEmbedding,
    LocalAttention,
    ResidualBranch,
)

GOLDEN = Path(__file__).parent / "golden" / "demucs_peers.json"

SIZES = {"sources": [*"abc"], "filters": 4, "depth": 5, "n_fft": 256, "compression": 1}
OURS = {
    "hybrid": lambda: HybridDemucs(**SIZES, norm_starts=3, recurrent_starts=3),
    "hybrid-mono": lambda: HybridDemucs(**SIZES, channels=1, branch_scale=0.5),
    "hybrid-branches": lambda: HybridDemucs(
        **SIZES | {"filters": 8, "compression": 2, "decoder_branches": True}, norm_starts=1
    ),
    "hybrid-stride": lambda: HybridDemucs(**SIZES | {"stride": 2, "n_fft": 64, "depth": 6}),
}
every_peer = pytest.mark.parametrize("name", OURS)


def built(**sizes):
    torch.manual_seed(0)
    sizes = {"channels": 1, "norm_starts": 3, "recurrent_starts": 3} | SIZES | sizes
    return HybridDemucs(**sizes).eval()


# the authors' class, and torchaudio's


def options(ours):
    """What both classes call our options."""
    config = ours.config
    return {
        "sources": list(config["sources"]),
        "audio_channels": config["channels"],
        "channels": config["filters"],
        "depth": config["depth"],
        "nfft": config["n_fft"],
        "stride": config["stride"],
        "kernel_size": 2 * config["stride"],
        "norm_starts": config["norm_starts"],
        "dconv_lstm": config["recurrent_starts"],
        "dconv_attn": config["recurrent_starts"],
        "dconv_comp": config["compression"],
        "dconv_init": config["branch_scale"],
    }


def authors(ours):
    """The authors' class, with our weights."""
    peer = pytest.importorskip("demucs.hdemucs").HDemucs
    mode = 3 if ours.config["decoder_branches"] else 1
    return with_weights_of(ours, peer(**options(ours), dconv_mode=mode), from_demucs)


def torchaudio(ours):
    from torchaudio.models import HDemucs

    return with_weights_of(ours, HDemucs(**options(ours)), from_demucs)


@every_peer
@pytest.mark.parametrize("time", [2, 17, 400, 4001, 9000])
@torch.no_grad()
def test_same_as_the_authors_class(name, time):
    """To 1e-6 of the level; from 200 frames on, BLSTMs work on chunks."""
    ours = by_rule(OURS[name]())
    mixture = noise(2, ours.channels, time)
    theirs = authors(ours)(mixture)
    torch.testing.assert_close(ours(mixture), theirs, atol=1e-6 * theirs.abs().max().item(), rtol=0)


@every_peer
@torch.no_grad()
def test_stored_answers_are_the_authors(name):
    answer = peer_answer(name)
    torch.testing.assert_close(stored_samples(answer), stored(GOLDEN, name), atol=1e-6, rtol=1e-5)


def peer_answer(name):
    ours = by_rule(OURS[name]().double())
    return authors(ours)(stereo(ours, torch.float64)).flatten(1, 2)


@every_peer
@torch.no_grad()
def test_same_as_the_authors_stored_answers(name):
    ours = by_rule(OURS[name]())
    answer = stored_samples(ours(stereo(ours)).flatten(1, 2))
    assert_same(answer, stored(GOLDEN, name).float())


@pytest.mark.parametrize("name", ["hybrid", "hybrid-mono", "medium"])
@pytest.mark.parametrize("time", [1001, 9000])
@torch.no_grad()
def test_same_as_torchaudio(name, time):
    """Its medium size meets at half the stride, which the authors' class cannot."""
    medium = {"filters": 4, "n_fft": 2048, "compression": 2}
    ours = by_rule(HybridDemucs(**medium) if name == "medium" else OURS[name]())
    mixture = noise(2, ours.channels, time + (4000 if name == "medium" else 0))
    theirs = torchaudio(ours)(mixture)
    torch.testing.assert_close(ours(mixture), theirs, atol=2e-6 * theirs.abs().max().item(), rtol=0)


@torch.no_grad()
def test_same_as_torchaudio_in_the_published_size():
    torch.manual_seed(0)
    ours = HybridDemucs.paper().eval()
    peer, mixture = torchaudio(ours), noise(1, 2, 22_000)
    count = sum(weights.numel() for weights in peer.parameters())
    assert count == 83_639_368 == 83_637_832 + 2 * 768  # of time_encoder.4.norm1, never used
    theirs = peer(mixture)
    torch.testing.assert_close(ours(mixture), theirs, atol=1e-6 * theirs.abs().max().item(), rtol=0)
    with torch.no_grad():
        peer.time_encoder[4].norm1.weight.fill_(torch.nan)
    assert torch.equal(peer(mixture), theirs)


# frames


@settings(max_examples=25)
@given(st.integers(1, 700), st.sampled_from([16, 64]))
def test_frames_are_those_of_torch(time, n_fft):
    """Of a signal mirrored by 3/2 hops, as the authors have it."""
    stft, waveform, hop = AlignedSTFT(n_fft), noise(1, 2, time, dtype=torch.float64), n_fft // 4
    frames, left = math.ceil(time / hop), hop // 2 * 3
    right = left + frames * hop - time
    longer = functional.pad(waveform, (0, max(0, right - time + 1)))  # there is enough to mirror
    right -= longer.shape[-1] - time
    mirrored = functional.pad(longer, (left, right), "reflect")
    window = torch.hann_window(n_fft, dtype=torch.float64)
    expected = torch.stft(
        mirrored[0], n_fft, hop, window=window, normalized=True, return_complex=True, center=False
    )
    found = stft(waveform)
    assert found.shape == (1, 2, n_fft // 2, frames)
    torch.testing.assert_close(found[0], expected[:, :-1])


@settings(max_examples=25)
@given(st.integers(1, 700))
def test_the_inverse_is_that_of_torch(time):
    stft = AlignedSTFT(32)
    frames = math.ceil(time / 8)
    spectrogram = torch.complex(*noise(2, 3, 16, frames, dtype=torch.float64))
    padded = functional.pad(spectrogram, (2, 2, 0, 1))
    expected = torch.istft(
        padded,
        32,
        8,
        window=torch.hann_window(32, dtype=torch.float64),
        normalized=True,
        length=8 * frames + 24,
    )
    torch.testing.assert_close(stft.inverse(spectrogram, time), expected[:, 12 : 12 + time])


def test_what_has_no_energy_in_the_highest_bin_comes_back_but_for_the_ends():
    stft, time = AlignedSTFT(64), torch.arange(999, dtype=torch.float64)
    tones = (torch.sin(0.3 * time) + torch.sin(1.1 * time))[None, None]
    again = stft.inverse(stft(tones), 999)
    torch.testing.assert_close(again[..., 48:-48], tones[..., 48:-48], atol=3e-3, rtol=0)


# parts


@torch.no_grad()
def test_attention_by_its_formula():
    layer = by_rule(LocalAttention(8, heads=2, decays=3).double())
    features = noise(1, 8, 7, dtype=torch.float64)
    queries, keys, content, rates = (
        (part.weight[..., 0] @ features[0] + part.bias[:, None]).unflatten(0, (2, -1))
        for part in (layer.query, layer.key, layer.content, layer.query_decay)
    )
    read = torch.zeros(2, 4, 7, dtype=torch.float64)
    for head in range(2):
        for t in range(7):
            scores = torch.stack(
                [
                    keys[head, :, s] @ queries[head, :, t] / 2
                    - sum(
                        (f + 1) * abs(t - s) * rates[head, f, t].sigmoid() / 2 / math.sqrt(3)
                        for f in range(3)
                    )
                    for s in range(7)
                ]
            )
            scores[t] = -100  # never itself
            read[head, :, t] = content[head] @ scores.softmax(0)
    expected = layer.output.weight[..., 0] @ read.flatten(0, 1) + layer.output.bias[:, None]
    torch.testing.assert_close(layer(features)[0], features[0] + expected)


@torch.no_grad()
def test_attention_at_first_looks_far_and_a_single_frame_reads_itself():
    torch.manual_seed(0)
    layer = LocalAttention(8)
    rate = layer.query_decay(noise(1, 8, 50)).sigmoid()
    assert 0.1 < rate.min() < rate.max() < 0.14
    one = noise(1, 8, 1)
    expected = one + layer.output(layer.content(one))
    torch.testing.assert_close(layer(one), expected)


@pytest.mark.parametrize("frames", [199, 200, 201, 300, 450])
@torch.no_grad()
def test_chunks_of_a_blstm(frames):
    """From 200 frames on a frame is read in the chunk in whose middle it lies."""
    torch.manual_seed(0)
    layer, x = ChunkedBLSTM(4).double(), noise(2, 4, frames, dtype=torch.float64)
    found = layer(x)
    if frames <= 200:
        expected = layer.linear(layer.lstm(x.mT)[0]).mT
    else:
        padded, pieces = functional.pad(x, (0, 400)), []
        last = (frames - 1) // 100 * 100
        for start in range(0, last + 1, 100):
            read = layer.linear(layer.lstm(padded[..., start : start + 200].mT)[0]).mT
            begin, end = (50 if start else 0), (150 if start < last else 200)
            pieces.append(read[..., begin:end])
        expected = torch.cat(pieces, -1)[..., :frames]
    torch.testing.assert_close(found - x, expected)


def test_embeddings_of_neighbours_begin_alike_and_learn_fast():
    torch.manual_seed(0)
    layer = FrequencyEmbedding(64, 200)
    vectors = layer.embedding.weight
    alike = functional.cosine_similarity(vectors[20:-1], vectors[21:])
    assert alike.min() > 0.9
    assert abs(functional.cosine_similarity(vectors[0], vectors[-1], 0)) < 0.5
    added = layer(torch.zeros(1, 200, 64, 3))
    torch.testing.assert_close(added[0, ..., 2], 2 * vectors.T)
    torch.testing.assert_close(added.std(), torch.tensor(0.2), atol=0.05, rtol=0)


@torch.no_grad()
def test_a_branch_adds_little_at_first():
    torch.manual_seed(0)
    features = noise(1, 8, 60)
    for scale in (1e-4, 1e-3):
        added = ResidualBranch(8, 2, scale=scale)(features) - features
        assert 0.1 * scale < added.std() < 2 * scale
    dilations = [layer.narrow.dilation for layer in ResidualBranch(8, 2)]
    assert dilations == [(1,), (2,)]


@pytest.mark.parametrize("at_once", [1, 3000, 2**19])
def test_frequencies_at_a_time_or_all_at_once(at_once, monkeypatch):
    """Without gradients a layer goes through its frequencies in groups."""
    monkeypatch.setattr(hybrid_demucs, "_NUMBERS_AT_ONCE", at_once)
    torch.manual_seed(0)
    layer = EncoderLayer(2, 6, 8, 4, "frequency", branch=ResidualBranch(6, 2, scale=1.0)).double()
    features = noise(2, 2, 60, 9, dtype=torch.float64)
    calls = []
    layer.conv.register_forward_hook(lambda *_: calls.append(1))
    expected = layer(features)
    with torch.no_grad():
        torch.testing.assert_close(layer(features), expected)
    assert len(calls) == 1 + {1: 15, 3000: 2, 2**19: 1}[at_once]


@settings(max_examples=20)
@given(st.integers(1, 60), st.sampled_from([(8, 4), (4, 2)]))
def test_layers_divide_lengths_by_their_stride(length, sizes):
    down, up = EncoderLayer(1, 4, *sizes), DecoderLayer(4, 1, *sizes)
    coarse = down(noise(1, 1, length))
    assert coarse.shape[-1] == math.ceil(length / sizes[1])
    assert up(up.mix(coarse), length).shape == (1, 1, length)


# the whole


@torch.no_grad()
def test_the_estimate_is_a_spectrogram_and_a_waveform():
    """Without the last layer of one network the other speaks alone."""
    model, mixture = built(), noise(1, 1, 900)
    spectrogram, waveform = built(), built()
    for other, silent in ((spectrogram, "time_decoder"), (waveform, "decoder")):
        last = getattr(other, silent)[-1].conv_tr
        last.weight.zero_()
        last.bias.zero_()
    z = model.stft(mixture)
    parts = torch.stack([z.real, z.imag], 2)
    mean = torch.complex(parts.mean(), parts.mean()).expand(1, 3, 1, *z.shape[2:])
    without = mixture.mean() + model.stft.inverse(mean, 900)  # what silence means to both
    expected = spectrogram(mixture) + waveform(mixture) - without
    torch.testing.assert_close(model(mixture), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_louder_mixtures_have_louder_estimates():
    model, mixture = built(), noise(1, 1, 900)
    torch.testing.assert_close(model(1000 * mixture), 1000 * model(mixture), atol=0.1, rtol=1e-3)
    assert torch.isfinite(model(mixture[..., :1])).all()


def test_channels_are_heard_together():
    model, mixture = built(channels=2), noise(1, 2, 500)
    with torch.no_grad():
        left = model(mixture)[:, :, 0]
        assert not torch.allclose(model(mixture * torch.tensor([[1.0], [0.5]]))[:, :, 0], left)
    with pytest.raises(InputError, match="expected 2 channels, got 1; give it to all of them"):
        model(mixture[:, :1])


def test_published_and_smaller_sizes():
    """Low and medium are torchaudio's names; it has 1,536 more for medium."""

    def count(**sizes):
        with torch.device("meta"):
            model = HybridDemucs(**sizes)
        return sum(weights.numel() for weights in model.parameters())

    assert count(n_fft=1024, depth=5) == 20_040_296
    assert count(n_fft=2048) == 78_908_488 - 1536
    with torch.device("meta"):
        paper, small, tiny = HybridDemucs.paper(), HybridDemucs.small(), HybridDemucs.tiny()
    assert 1.5e6 < sum(weights.numel() for weights in small.parameters()) < 2.5e6
    assert paper.config["branch_scale"] == 1e-4
    assert small.source_names == paper.source_names == ("drums", "bass", "other", "vocals")
    for model in (small, tiny):
        assert model.config["depth"] < paper.config["depth"]
        assert model.config["n_fft"] < paper.config["n_fft"]
        assert model.sample_rate < paper.sample_rate


def test_it_learns_one_mixture():
    torch.manual_seed(0)
    assert gain_on_one_song(HybridDemucs.tiny(), 90) > 8


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"sources": "vocals"}, "sources: expected a list of different names, got 'vocals'"),
        ({"sources": ["a", "a"]}, "sources: expected a list of different names"),
        ({"depth": 4}, "depth: expected layers that lead to one bin, got 4"),
        ({"depth": 0}, "depth, stride: expected at least 1 and an even number, got 0, 4"),
        ({"stride": 3}, "depth, stride: expected at least 1 and an even number, got 6, 3"),
        ({"filters": 3}, "compression: expected at most the 3 channels .* got 4"),
        ({"n_fft": 1000}, "n_fft: expected one that leaves a multiple of 4 bins .* got 1000"),
    ],
)
def test_one_clear_error(sizes, words):
    with pytest.raises(InputError, match=words), torch.device("meta"):
        HybridDemucs(**sizes)
