"""Systems for speakers in no particular order: uPIT's table, attractors and anchors, two heads."""

import itertools

import pytest
import torch

from lib.data import TwoSpeakers
from lib.losses import active_points, dominant_source, make_objective
from lib.models import UPIT, Chimera, DANet, DeepClustering
from lib.nn.embedding import attractors, cluster_masks
from lib.nn.misi import misi
from lib.published import published

TARGETS = {"AM": "magnitude", "PSM": "psm", "NPSM": "npsm"}  # what a mask times |X| is to meet
FEW = {"n_fft": 64, "hop_length": 32, "layers": 1, "hidden": 16, "dropout": 0}


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def speech(seconds=0.5):
    item = TwoSpeakers("train", items=2, seed=3, seconds=seconds)[0]
    return item.mixture[None], item.sources[None]


# uPIT


def table_of_the_paper():
    """What stands in brackets: ``uPIT-BLSTM [PSM, ReLU]``."""
    return sorted(name for name in set(published(system="uPIT").system) if "[" in name)


@pytest.mark.parametrize("name", table_of_the_paper())
def test_every_row_of_the_published_table_can_be_trained(name):
    kind, _, options = name.rstrip("]").partition(" [")
    target, activation = options.split(", ")
    torch.manual_seed(0)
    model = UPIT(activation=activation.lower(), causal=kind == "uPIT-LSTM", **FEW)
    with torch.device("meta"):
        paper = UPIT.paper(causal=model.is_causal, activation=activation.lower())
    assert paper.is_causal == model.is_causal == (kind == "uPIT-LSTM")
    assert paper.masker.activation == model.masker.activation
    mixture, sources = speech(0.2)
    model.calibrate(mixture)
    objective = make_objective("spectrogram", target=TARGETS[target], distance="l2")
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = objective(model, mixture, sources).mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(weights.grad.abs().max() > 0 for weights in model.parameters())


def test_the_published_table_has_all_targets_activations_and_a_causal_network():
    names = table_of_the_paper()
    for target, activation in itertools.product(TARGETS, ("ReLU", "sigmoid", "softmax", "tanh")):
        assert f"uPIT-BLSTM [{target}, {activation}]" in names
    assert any(name.startswith("uPIT-LSTM") for name in names)


@pytest.mark.parametrize(
    "activation, low, high",
    [("softmax", 0, 1), ("sigmoid", 0, 1), ("relu", 0, 9), ("tanh", -1, 1)],
)
def test_activations_bound_the_masks(activation, low, high):
    torch.manual_seed(0)
    model = UPIT(activation=activation, **FEW)
    with torch.no_grad():
        model.masker.output.weight *= 50  # into the limits
        masks = model.masker(model.encoder(noise(1, 1, 4000)))
    assert low <= masks.min() < low + 0.01
    assert high - 0.01 < masks.max() <= high or (activation == "relu" and masks.max() > 1)
    if activation == "softmax":
        torch.testing.assert_close(masks.sum(1), torch.ones_like(masks[:, 0]))


# attractors


def danet(**options):
    torch.manual_seed(0)
    return DANet(**FEW, dimensions=4, **options).eval()


def test_masks_are_a_softmax_of_closeness_to_the_attractors():
    model, (mixture, sources) = danet(sharpness=3.0), speech()
    spectrogram = model.encoder(mixture)
    active = active_points(spectrogram)[..., None]
    assignments = dominant_source(model.encoder(sources)) * active
    embeddings = model.embeddings(spectrogram)[0]
    centres = [embeddings[assignments[0, :, s] > 0].mean(0) for s in range(2)]
    closeness = torch.stack([3.0 * embeddings @ centre for centre in centres])  # (S, N)
    frames = spectrogram.shape[-1]
    masks = closeness.softmax(0).reshape(2, frames, -1).transpose(1, 2)  # (S, F, K)
    expected = masks * spectrogram.abs()[0]
    found = model.attractor_magnitudes(spectrogram, assignments)
    torch.testing.assert_close(found[0, :, 0], expected)
    swapped = model.attractor_magnitudes(spectrogram, assignments.flip(-1))
    torch.testing.assert_close(swapped, found.flip(1))


@pytest.mark.parametrize("speakers", [2, 3])
def test_adanet_takes_the_anchors_whose_attractors_are_least_alike(speakers):
    masker = danet(speakers=speakers, anchors=5).masker
    embeddings = torch.nn.functional.normalize(noise(3, 60, 4), dim=-1)
    weights = (noise(3, 60, seed=1) > 0).float()
    found = masker.anchored(embeddings, weights)
    for item in range(3):
        best, least = None, torch.inf
        for subset in itertools.combinations(masker.anchors, speakers):
            shares = (embeddings[item] @ torch.stack(subset).T).softmax(-1)
            centres = attractors(embeddings[item][None], shares[None], weights[item][None])[0]
            alike = max((a @ b).item() for a, b in itertools.combinations(centres, 2))
            if alike < least:
                best, least = centres, alike
        torch.testing.assert_close(found[item], best)


def test_anchors_learn_from_estimates_alone():
    model, (mixture, sources) = danet(anchors=3), speech(0.2)
    make_objective("waveform")(model, mixture, sources).sum().backward()
    assert model.masker.anchors.grad.abs().max() > 0


# two heads


def test_the_two_heads_are_what_either_way_of_separating_uses():
    torch.manual_seed(0)
    model = Chimera(**FEW, dimensions=4).eval()
    mixture, _ = speech()
    spectrogram = model.encoder(mixture)
    embeddings, magnitudes = model.heads(spectrogram)
    torch.testing.assert_close(embeddings, model.embeddings(spectrogram))
    torch.testing.assert_close(magnitudes, model.magnitudes(spectrogram))
    by_clusters = Chimera(**FEW, dimensions=4, clusters=True).eval()
    by_clusters.load_state_dict(model.state_dict())
    expected = cluster_masks(embeddings, 2, spectrogram)
    assert torch.equal(by_clusters.masker(spectrogram), expected)
    by_hand = model.masker.network.recurrent(model.masker.network.features(spectrogram))[0]
    masks = torch.sigmoid(model.masker.mask_output(by_hand)).unflatten(-1, (2, -1))  # (B, K, S, F)
    expected = masks.permute(0, 2, 3, 1)[:, :, None] * spectrogram.abs()[:, None]
    torch.testing.assert_close(magnitudes, expected)


def test_each_loss_teaches_its_own_head_and_the_body():
    mixture, sources = speech(0.2)
    heads = ["network.output", "mask_output"]
    for weight, (taught, other) in ((1.0, heads), (0.0, heads[::-1])):
        torch.manual_seed(0)
        model = Chimera(**FEW, dimensions=4)
        make_objective("chimera", embedding_weight=weight)(model, mixture, sources).sum().backward()
        assert model.masker.get_parameter(f"{taught}.weight").grad.abs().max() > 0
        assert not model.masker.get_parameter(f"{other}.weight").grad.abs().any()
        assert model.masker.network.recurrent.weight_ih_l0.grad.abs().max() > 0


def test_misi_follows_the_masks():
    torch.manual_seed(0)
    plain = Chimera(**FEW, dimensions=4).eval()
    model = Chimera(**FEW, dimensions=4, misi_iterations=3).eval()
    model.load_state_dict(plain.state_dict())
    mixture, _ = speech()
    magnitudes = plain.magnitudes(plain.encoder(mixture))
    expected = misi(magnitudes, mixture, plain.encoder, 3)
    torch.testing.assert_close(model(mixture), expected)
    assert not torch.allclose(plain(mixture), expected, atol=1e-3)


# what the module texts list as deviations


@pytest.mark.parametrize("system", [UPIT, DeepClustering, DANet, Chimera])
def test_the_colour_and_the_level_of_the_mixture_do_not_matter(system):
    """Inputs are normalised by the mixture at hand: a gain for each frequency changes nothing."""
    torch.manual_seed(0)
    model = system.tiny().eval()
    network = getattr(model.masker, "network", model.masker)
    spectrogram = 2 + noise(1, 1, 129, 40, dtype=torch.complex64)  # far from the floor of -60 dB
    gains = (5 + torch.linspace(-1, 1, 129).exp())[:, None]
    seen, coloured = network.features(spectrogram), network.features(gains * spectrogram)
    torch.testing.assert_close(seen.mean(1), torch.zeros(1, 129), atol=1e-3, rtol=0)
    torch.testing.assert_close(seen.std(1, correction=0), torch.ones(1, 129), atol=1e-3, rtol=0)
    assert (coloured - seen).abs().max() < 0.05


def test_a_causal_network_takes_levels_as_they_come():
    model = UPIT(causal=True, **FEW).double()
    spectrogram = model.encoder(noise(1, 1, 1000, dtype=torch.float64))
    changed = spectrogram.clone()
    changed[..., 20:] *= 10
    seen, louder = model.masker.features(spectrogram), model.masker.features(changed)
    assert torch.equal(seen[:, :20], louder[:, :20])
    torch.testing.assert_close(louder[:, 20:], 10 * seen[:, 20:])
