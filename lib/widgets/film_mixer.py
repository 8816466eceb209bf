"""FiLM mixer: turn the condition, or the scales and shifts, of a network that runs in the page."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lib.errors import InputError
from lib.models.conditioned_unet import ConditionedUNet
from lib.widgets.element import Element, as_mono, encode_array, encode_audio

_MOST = 250_000  # parameters: 1.3 MB of the page
_SECONDS = 6.0


def film_mixer(
    model: ConditionedUNet, sources: torch.Tensor, *, title: str = "FiLM mixer"
) -> Element:
    """A panel in which the reader steers a trained network and hears what it lets through.

    The reader sets the condition, one number per source, or walks from one source's one-hot vector
    to another's. The control network answers with a scale and a shift for each layer, which may be
    moved by hand as well. The page runs the whole network: its masks are those of the model.

    Args:
        model: small, with simple control (one scale and one shift per layer), as it is after
            training; the page runs it in evaluation mode.
        sources: ``(sources, time)`` or ``(sources, 1, time)`` at the model's rate, in the order of
            its ``source_names``, a few seconds; the mixture is their sum.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for a network with complex control or of more than 250,000 parameters, a frame
            that is no power of two, or sources that do not fit, are too long, silent or too loud.

    Source: Meseguer-Brocal and Peeters, "Conditioned-U-Net", ISMIR 2019, section 3.

    Example:
        >>> from lib.models import ConditionedUNet
        >>> film_mixer(ConditionedUNet.tiny(), torch.rand(2, 8000) - 0.5)
        FiLM mixer: speech, noise, 1.0 s. Run this cell to turn the condition.
    """
    names, rate, n_fft = model.source_names, model.sample_rate, model.encoder.n_fft
    size = sum(one.numel() for one in model.parameters())
    if size > _MOST:
        raise InputError(f"model: expected at most {_MOST:,} parameters, got {size:,}")
    if max(model.masker.control.sizes) > 1:
        raise InputError("model: expected simple control, each=False, got complex control")
    if n_fft & (n_fft - 1):
        raise InputError(f"model: expected frames of a power of two, got n_fft={n_fft}")
    if len(sources) != len(names):
        raise InputError(f"sources: expected {len(names)} ({', '.join(names)}), got {len(sources)}")
    signals = [as_mono(one, f"sources, {name}") for one, name in zip(sources, names, strict=True)]
    seconds = signals[0].shape[-1] / rate
    if seconds > _SECONDS:
        raise InputError(f"sources: expected at most {_SECONDS:g} s, got {seconds:.1f} s")
    peak = abs(sum(signals)).max()
    if peak > 1:
        raise InputError(f"sources: expected a sum within [-1, 1], got a peak of {peak:.3g}")
    config = {
        "title": title,
        "names": list(names),
        "sample_rate": rate,
        "n_fft": n_fft,
        "hop": model.encoder.hop_length,
        "sources": [encode_audio(one, rate) for one in signals],
        **_network(model),
    }
    fallback = f"{title}: {', '.join(names)}, {seconds:.1f} s. Run this cell to turn the condition."
    return Element("unmix-film-mixer", config, ("film_mixer",), fallback)


@torch.no_grad()
def _network(model: ConditionedUNet) -> dict[str, Any]:
    """What the page computes with: batch normalisation is folded into the layer beside it."""
    masker = model.masker
    network, features = masker.network, masker.features
    down = [_folded(one.halving, one.norm, 0) for one in network.contractions]
    up = [_folded(one.doubling, one.norm, 1) for one in network.expansions]
    up.append((network.last.weight, network.last.bias))
    return {
        "log": features.log,
        "mean": encode_array(features.mean),
        "scale": encode_array(features.scale),
        "control": [[encode_array(part) for part in layer] for layer in _control(masker.control)],
        "down": [[encode_array(part) for part in layer] for layer in down],
        "up": [[encode_array(part) for part in layer] for layer in up],
    }


def _affine(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift of a batch normalisation in evaluation mode."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - scale * norm.running_mean


def _folded(
    convolution: nn.Module, norm: nn.Module, axis: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a convolution with the normalisation behind it."""
    scale, shift = _affine(norm)
    weight = convolution.weight * scale.view([-1 if one == axis else 1 for one in range(4)])
    return weight, convolution.bias * scale + shift


def _control(control: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weights and biases of linear layers with ReLUs between; the last gives gammas and betas."""
    layers: list[tuple[torch.Tensor, torch.Tensor]] = []
    scale, shift = torch.ones(()), torch.zeros(())
    last = nn.Linear(control.gamma.in_features, 2 * len(control.sizes))
    last.weight.copy_(torch.cat([control.gamma.weight, control.beta.weight]))
    last.bias.copy_(torch.cat([control.gamma.bias, control.beta.bias]))
    for module in [*control.layers, last]:
        if isinstance(module, nn.Linear):
            # the normalisation in front of it
            shifts = module.weight @ shift.expand(module.in_features)
            layers.append((module.weight * scale, module.bias + shifts))
            scale, shift = torch.ones(()), torch.zeros(())
        elif isinstance(module, nn.BatchNorm1d):
            scale, shift = _affine(module)
    return layers
