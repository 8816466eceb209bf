"""K-means, attractors, masks of assignments and MISI: what the systems for speakers stand on."""

import pytest
import torch

from lib.data import TwoSpeakers
from lib.errors import InputError
from lib.losses.clustering import dominant_source
from lib.masks import OracleMask
from lib.metrics import si_sdr
from lib.models import DANet, DeepClustering
from lib.nn.embedding import attractors, cluster_masks, kmeans, masks_from_assignments
from lib.nn.misi import misi
from lib.stft import STFT


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def clouds(clusters, spread=0.05, each=40):
    centres = torch.eye(8)[:clusters]
    points = centres.repeat_interleave(each, 0) + spread * noise(clusters * each, 8)
    return points[None], torch.arange(clusters).repeat_interleave(each)


@pytest.mark.parametrize("clusters", [1, 2, 3, 5])
def test_kmeans_finds_clouds(clusters):
    points, truth = clouds(clusters)
    centres, nearest = kmeans(points, clusters)
    assert centres.shape == (1, clusters, 8)
    same = nearest[0][:, None] == nearest[0]
    assert torch.equal(same, truth[:, None] == truth)


def test_kmeans_is_seeded_and_leaves_the_global_generator_alone():
    points = noise(2, 100, 5)
    state = torch.random.get_rng_state()
    first, again = kmeans(points, 3, seed=4), kmeans(points, 3, seed=4)
    assert torch.equal(first[1], again[1])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_kmeans_draws_alike_where_there_is_no_float64(on_mps, monkeypatch):
    points = noise(2, 100, 5)
    right = kmeans(points, 3)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_: self)  # no such device is here
    for found, expected in zip(kmeans(on_mps(points), 3), right, strict=True):
        assert torch.equal(found.cpu(), expected)


def test_points_without_weight_do_not_move_the_centres_but_are_assigned():
    points, _ = clouds(2)
    far = torch.cat([points, 50 * torch.ones(1, 3, 8)], 1)
    weights = torch.cat([torch.ones(1, 80), torch.zeros(1, 3)], 1)
    with_far, nearest = kmeans(far, 2, weights)
    assert nearest.shape == (1, 83)
    assert with_far.abs().max() < 1.5
    assert kmeans(far, 2)[0].max() > 40  # with weight, they take a centre


@pytest.mark.parametrize(
    "points, clusters", [(torch.zeros(2, 50, 4), 3), (torch.ones(1, 1, 4), 2), (noise(1, 2, 4), 4)]
)
def test_kmeans_with_fewer_places_than_clusters(points, clusters):
    centres, nearest = kmeans(points, clusters, torch.zeros(points.shape[:2]))
    assert torch.isfinite(centres).all()
    assert nearest.min() >= 0 and nearest.max() < clusters


def test_kmeans_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="clusters: expected at least 1, got 0"):
        kmeans(noise(1, 5, 2), 0)
    with pytest.raises(InputError, match=r"weights: expected \(1, 5\), got \(5,\)"):
        kmeans(noise(1, 5, 2), 2, torch.ones(5))


def test_attractors_are_the_means_of_assigned_points():
    points, truth = clouds(3)
    assignments = torch.eye(3)[truth][None]
    expected = torch.stack([points[0, truth == source].mean(0) for source in range(3)])
    torch.testing.assert_close(attractors(points, assignments)[0], expected)
    assignments[..., 1] = 0
    assert torch.equal(attractors(points, assignments)[0, 1], torch.zeros(8))


def test_masks_of_the_true_assignments_are_the_ideal_binary_masks():
    item, stft = TwoSpeakers("train", items=2, seed=3, seconds=0.5)[0], STFT(256, 64, "sqrt_hann")
    mixture, sources = item.mixture[None], item.sources[None]
    assignments = dominant_source(stft(sources))
    masks = masks_from_assignments(assignments, bins=129)
    estimates = stft.inverse(masks * stft(mixture)[:, None], mixture.shape[-1])
    ideal = OracleMask("ibm", stft)(mixture, sources)
    assert (si_sdr(estimates, sources) - si_sdr(ideal, sources)).abs().max() < 0.1
    # embeddings that are the assignments lead k-means to the same masks
    found = cluster_masks(assignments, 2, stft(mixture))
    assert torch.equal(found, masks) or torch.equal(found.flip(1), masks)


def test_clusters_are_found_in_full_precision_under_autocast():
    points = noise(1, 300, 20)
    expected = kmeans(points, 2)[1]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(kmeans(points, 2)[1], expected)


def test_systems_refuse_impossible_arguments():
    with pytest.raises(InputError, match="anchors: expected 0, or at least 2, got 1"):
        DANet(anchors=1)
    with pytest.raises(InputError, match="activation: expected one of softmax, sigmoid, got 'x'"):
        DANet(activation="x")


def test_a_point_alone_and_silence_are_clustered():
    model = DeepClustering(layers=1, hidden=4, dimensions=3).eval()
    for mixture in (torch.ones(1, 1, 1), torch.zeros(1, 2, 700)):
        masks = model.masker(model.encoder(mixture))
        assert torch.equal(masks.sum(1), torch.ones_like(masks[:, 0]))  # each point to somebody


# MISI


def two_speakers():
    item, stft = TwoSpeakers("train", items=2, seed=3, seconds=0.5)[0], STFT(256, 64)
    mixture, sources = item.mixture[None].double(), item.sources[None].double()
    return stft, mixture, sources, stft(sources).abs()


def test_misi_without_iterations_keeps_the_phase_of_the_mixture():
    stft, mixture, _, magnitudes = two_speakers()
    spectrogram = stft(mixture)
    expected = stft.inverse(torch.polar(magnitudes, spectrogram.angle()[:, None]), 4000)
    torch.testing.assert_close(misi(magnitudes, mixture, stft, 0), expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("count", [2, 3])
def test_a_step_of_misi_by_hand(count):
    """Each source gets an equal share of what is missing, and keeps the phase of the sum only."""
    stft, mixture = STFT(64, 16), noise(1, 1, 300, dtype=torch.float64)
    magnitudes = stft(noise(1, count, 1, 300, seed=1, dtype=torch.float64)).abs()
    phase = stft(mixture)[0, 0].angle()
    first = [stft.inverse(torch.polar(one[0], phase), 300) for one in magnitudes[0]]
    missing = mixture[0, 0] - sum(first)
    expected = []
    for one, magnitude in zip(first, magnitudes[0], strict=True):
        phase = stft(one + missing / count).angle()
        expected.append(stft.inverse(torch.polar(magnitude[0], phase), 300))
    found = misi(magnitudes, mixture, stft, 1)
    torch.testing.assert_close(found[0, :, 0], torch.stack(expected), atol=1e-9, rtol=0)


def test_misi_comes_closer_to_the_mixture_and_to_the_sources():
    stft, mixture, sources, magnitudes = two_speakers()
    left, scores = [], []
    for iterations in (0, 1, 5, 20):
        estimates = misi(magnitudes, mixture, stft, iterations)
        left.append((mixture - estimates.sum(1)).square().sum().item())
        scores.append(si_sdr(estimates, sources).mean().item())
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.1 * left[0]
    assert scores[-1] > scores[0] + 3


def test_the_true_sources_are_a_fixed_point_of_misi():
    stft, _, sources, _ = two_speakers()
    alone = sources[:, :1]  # one source: the mixture's phase is its own
    estimates = misi(stft(alone).abs(), alone.sum(1), stft, 3)
    torch.testing.assert_close(estimates, alone, atol=1e-6, rtol=0)


def test_misi_is_differentiable_where_the_mixture_is_silent():
    stft = STFT(64, 16)
    magnitudes = noise(1, 2, 1, 33, 11).abs().requires_grad_()
    misi(magnitudes, torch.zeros(1, 1, 160), stft, 3).square().sum().backward()
    assert torch.isfinite(magnitudes.grad).all()


def test_gradients_of_misi_are_those_of_finite_differences():
    stft = STFT(16, 8)
    mixture = noise(1, 1, 40, dtype=torch.float64)
    magnitudes = noise(1, 2, 1, 9, 6, seed=1, dtype=torch.float64).abs() + 0.1
    magnitudes = magnitudes[..., : stft(mixture).shape[-1]].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda m: misi(m, mixture, stft, 2), magnitudes)


def test_misi_refuses_what_does_not_fit():
    stft, mixture = STFT(64, 16), noise(1, 1, 160)
    with pytest.raises(InputError, match="iterations: expected 0 or more, got -1"):
        misi(torch.ones(1, 2, 1, 33, 11), mixture, stft, -1)
    with pytest.raises(InputError, match="magnitudes: expected"):
        misi(torch.ones(1, 2, 1, 33, 10), mixture, stft)
