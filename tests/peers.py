"""What tests use that compare a system with the same network elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import pad


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_rule(model):
    """Give a model weights that anyone can make again, of the size that keeps levels."""
    with torch.no_grad():
        for index, (_, weights) in enumerate(sorted(model.named_parameters())):
            steps = torch.sin(0.37 * torch.arange(weights.numel(), dtype=torch.float64) + 2 * index)
            steps = steps.reshape(weights.shape)
            fan_in = weights[0].numel()
            weights.copy_((2 / fan_in) ** 0.5 * steps if weights.ndim > 1 else 0.4 + 0.3 * steps)
    return model.eval()


def signal(time, dtype=torch.float32):
    steps = torch.arange(time, dtype=torch.float64)
    tones = torch.sin(0.001 * steps**1.5) + 0.3 * torch.sin(0.9 * steps)
    return (torch.sin(0.002 * steps) * tones).to(dtype)[None, None]


def stereo(ours, dtype=torch.float32):
    """A signal by rule, on as many channels as a model has."""
    mixture = signal(997, dtype)
    return torch.cat([mixture, mixture.flip(-1)], 1)[:, : ours.channels]


def assert_same(ours, theirs):
    """Equal to 1e-5 of the level."""
    level = theirs.abs().max()
    assert level > 0.01
    torch.testing.assert_close(ours, theirs, atol=1e-5 * float(level), rtol=0)


def through(peer, ours, mixture):
    """Run a peer that does not pad on a mixture padded as ours is."""
    before, behind = ours.encoder.padding(mixture.shape[-1])
    return peer(pad(mixture, (before, behind)))[..., before : before + mixture.shape[-1]]


def with_weights_of(ours, peer, rename):
    """Hand our weights to a peer, whose names ``rename`` makes ours; it may have others as well."""
    weights, values = ours.state_dict(), {}
    for theirs, value in peer.state_dict().items():
        for name in rename({theirs: value}).keys() & weights.keys():
            values[theirs] = weights[name].view_as(value)
    assert len(values) == len(weights)
    peer.to(next(ours.parameters()).dtype).load_state_dict(peer.state_dict() | values)
    return peer.eval()


def stored_samples(estimates):
    """20 samples of each estimate (1, S, T)."""
    places = torch.linspace(0, estimates.shape[-1] - 1, 20, dtype=torch.float64).round().long()
    return estimates[0, :, places]


def stored(path: Path, name: str) -> torch.Tensor:
    """An answer of a peer from a file of ``golden``, in float64."""
    return torch.tensor(json.loads(path.read_text())[name], dtype=torch.float64)


def speechbrain_sepformer(config):
    """SpeechBrain's class in the sizes of a SepFormer of ours, with random weights."""
    module = pytest.importorskip("speechbrain.lobes.models.dual_path")
    return module.SepformerWrapper(
        encoder_kernel_size=config["kernel_size"],
        encoder_out_nchannels=config["filters"],
        masknet_chunksize=config["chunk"],
        masknet_numlayers=config["repeats"],
        masknet_numspks=config["speakers"],
        intra_numlayers=config["layers"],
        inter_numlayers=config["layers"],
        intra_nhead=config["heads"],
        inter_nhead=config["heads"],
        intra_dffn=config["hidden"],
        inter_dffn=config["hidden"],
    )
