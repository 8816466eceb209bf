"""What tests use that let a system learn a little."""

from __future__ import annotations

import torch
from peers import noise

from lib.data import Songs
from lib.losses import make_objective
from lib.metrics import si_sdr


def gain_on_one_song(model, steps):
    """SI-SDR over the mixture, in dB, of vocals and accompaniment that a system learned by L1."""
    model.train()
    item = Songs("train", items=1, seed=5, seconds=0.5, sample_rate=8000)[0]
    stems = item.sources.mean(1, keepdim=True)  # mono: drums, bass, other, vocals
    sources = torch.stack([stems[3], stems[:3].sum(0)])[None]
    mixture = sources.sum(1)
    objective = make_objective("waveform", loss="l1")
    optimiser = torch.optim.Adam(model.parameters(), 6e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        objective(model, mixture, sources).mean().backward()
        optimiser.step()
    with torch.no_grad():
        estimates = model.eval()(mixture)
    gain = si_sdr(estimates, sources) - si_sdr(mixture[:, None].expand_as(sources), sources)
    return gain.mean()


def losses_on_a_tone(model):
    """Mean squared errors of a system that learns to part a tone from noise, 25 steps."""
    model.train()
    sources = 0.1 * noise(2, 2, 1, 4000)
    sources[:, 0] = torch.sin(0.3 * torch.arange(4000))
    mixture = sources.sum(1)
    optimiser, losses = torch.optim.Adam(model.parameters(), 1e-2), []
    for _ in range(25):
        loss = (model(mixture) - sources).square().mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return losses
