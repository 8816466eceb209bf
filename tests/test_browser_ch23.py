"""Encoder-decoder animator in a real browser: what is ready when is that of lib's streams."""

from __future__ import annotations

import random
import re
from functools import partial

import browser
import pytest
import torch

from lib.errors import InputError
from lib.models import Denoiser
from lib.nn.demucs import StridedConv, StridedTranspose
from lib.nn.interpolation import DoubleRate, HalveRate
from lib.separate import Streamer
from lib.widgets import encoder_decoder

TAG = "unmix-encoder-decoder"
element = partial(browser.element, tag=TAG)

# levels, samples of a frame, stride, interpolation
SIZES = [(2, 4, 2, 1), (3, 8, 4, 1), (1, 5, 5, 1), (2, 7, 3, 1), (2, 8, 4, 2), (3, 6, 2, 4)]


@pytest.fixture
def page(chromium, tmp_path):
    with browser.shown(chromium, encoder_decoder(), tmp_path) as opened:
        yield opened


def shown(page, name: str) -> str:
    return page.locator(f"{TAG} [data-value={name}]").text_content()


def said(page, which: int = 0) -> str:
    return page.locator(f"{TAG} p[role=status]").nth(which).text_content()


def choose(page, sizes, packet: int) -> None:
    depth, kernel_size, stride, resampling = sizes
    settings = {"depth": depth, "kernel_size": kernel_size, "stride": stride}
    element(page, "e.set(argument)", settings | {"resampling": resampling, "packet": packet})


def network(depth, kernel_size, stride, resampling):
    torch.manual_seed(0)
    sizes = {"depth": depth, "kernel_size": kernel_size, "stride": stride}
    return Denoiser(8, **sizes, resampling=resampling, normalize=None, residual=None).eval()


def streamed(model, packet: int, packets: int) -> list[list[int]]:
    """How many items each layer has given after each packet."""
    layers = [*model.network.raise_rate, *model.network.down, model.network.linear]
    layers += [*model.network.up, *model.network.lower_rate]
    given = dict.fromkeys(layers, 0)

    def count(layer, _, output):
        # behind the RNN frames come before channels
        given[layer] += output.shape[1 if layer is model.network.linear else 2]

    for layer in layers:
        layer.register_forward_hook(count)
    streamer, rows = Streamer(model), []
    with torch.no_grad():
        for piece in torch.randn(1, packet * packets).split(packet, -1):
            streamer.push(piece)
            rows.append([packet * (len(rows) + 1), *given.values()])
    return rows


@pytest.mark.parametrize("sizes", SIZES)
def test_what_is_ready_after_each_packet_is_what_a_stream_gives(page, sizes):
    draw = random.Random(str(sizes))
    for packet in (1, draw.randint(2, 40)):
        choose(page, sizes, packet)
        packets = min(element(page, "return e.packets"), 300)
        ours = element(
            page, "return Array.from({length: argument}, (_, p) => e.counts(p + 1))", packets
        )
        assert ours == streamed(network(*sizes), packet, packets)
        assert packets == 300 or ours[-1][-1] > 0


@pytest.mark.parametrize("sizes", SIZES)
@torch.no_grad()
def test_an_output_waits_for_the_sample_that_changes_it(page, sizes):
    choose(page, sizes, 1)
    model = network(*sizes).double()
    needed = element(page, "return Array.from({length: e.outputs}, (_, n) => e.needed(n))")
    mixture = torch.randn(1, 1, needed[-1] + 1, dtype=torch.float64)
    before = model(mixture)[0, 0, 0]
    for place in random.Random(1).sample(range(len(needed)), 5):
        changed = mixture.clone()
        changed[..., needed[place] :] += 9
        assert torch.equal(model(changed)[0, 0, 0, place], before[place])
        changed[..., needed[place] - 1] += 9
        # of two samples that interpolation gives at once, one may need less
        assert sizes[3] > 1 or model(changed)[0, 0, 0, place] != before[place]


@pytest.mark.parametrize("sizes", SIZES)
def test_look_ahead_and_hop_are_those_of_the_denoiser(page, sizes):
    choose(page, sizes, 1)
    model = network(*sizes)
    assert element(page, "return [e.ahead, e.hop]") == [model.lookahead, model.stride]
    assert element(page, "return e.longest") == model.lookahead
    if sizes[3] == 1:
        assert element(page, "return e.frame") == model.frame
    # packets of n samples let it wait for up to n - 1 more
    for packet in (3, 10):
        choose(page, sizes, packet)
        longest = element(page, "return e.longest")
        assert model.lookahead <= longest <= model.lookahead + packet - 1
        waits = element(page, "return Array.from({length: e.outputs}, (_, n) => e.wait(n))")
        assert max(waits) <= longest
        assert min(waits) >= model.lookahead - model.stride + 1 or sizes[3] > 1


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("encoder", StridedConv(1, 1, 7, 3)),
        ("decoder", StridedTranspose(1, 1, 7, 3)),
        ("double", DoubleRate()),
        ("halve", HalveRate()),
    ],
)
def test_the_shaded_area_is_what_a_layer_reads(page, kind, layer):
    choose(page, (2, 7, 3, 1) if kind.endswith("coder") else (2, 8, 4, 2), 1)
    for first in (0, 62, 130):
        script = "const one = e.layers.find(({ kind }) => kind === argument[0]);"
        script += "return [one.reads(argument[1])[0], one.reads(argument[1] + 1)[1]]"
        low, high = element(page, script, [kind, first])
        signal = torch.randn(1, 1, 500, dtype=torch.float64, requires_grad=True)
        layer.double()(signal)[..., first : first + 2].sum().backward()
        read = signal.grad[0, 0].nonzero()[:, 0]
        assert [max(0, low), high] == [int(read.min()), int(read.max())]


def test_the_published_networks(page):
    page.get_by_role("radio", name="the paper's, dns48").click()
    assert shown(page, "ahead") == "763 samples, 47.7 ms"
    assert shown(page, "hop") == "256 samples, 16.0 ms"
    depth, kernel_size, stride, resampling = element(
        page, "return [e.depth, e.kernel_size, e.stride, e.resampling]"
    )
    assert (kernel_size, stride, depth, resampling) == Denoiser(hidden=1).sizes
    page.get_by_role("radio", name="Denoiser.small()").click()
    small = Denoiser.small()
    assert tuple(element(page, "return [e.kernel_size, e.stride, e.depth, e.resampling]")) == tuple(
        small.sizes
    )
    assert shown(page, "frame").startswith(f"{small.frame} samples")
    assert shown(page, "ahead").startswith(f"{small.lookahead} samples")


def test_steps_and_keys(page):
    page.get_by_role("button", name="From the start").click()
    assert said(page) == "Nothing has come in yet."
    assert shown(page, "ready") == "0 of 0 samples that came in"
    moments, texts = [element(page, "return e.moment")], []
    page.get_by_role("button", name="Step", exact=True).focus()
    for _ in range(13):
        page.keyboard.press("ArrowRight")
        moments.append(element(page, "return e.moment"))
        texts.append(said(page))
    assert texts[0] == "Packet 1: input samples 0 to 1. Now encoder 1 waits for 2 more."
    assert "Encoder 1: frame 0, from items 0 to 3 of input." in texts
    assert "RNN: frame 0, with what it remembers of all before." in texts
    assert texts[-1].startswith("Output: samples 0 to 3 ready. Added to decoder 2 was encoder 1")
    assert texts[-1].endswith("Items 4 to 5 begun: the next frame adds to them.")
    assert shown(page, "ready") == "4 of 10 samples that came in"
    for moment in reversed(moments[:-1]):
        page.keyboard.press("ArrowLeft")
        assert element(page, "return e.moment") == moment
    page.keyboard.press("ArrowLeft")
    assert element(page, "return e.moment") == moments[0]


def test_every_step_of_the_picture_back_and_forth(page):
    script = """const go = (one, way) => e.beside(one, way);
        const there = [{ packet: 0, layer: e.last }];
        for (let one = go(there[0], 1); one; one = go(one, 1)) there.push(one);
        const back = [there.at(-1)];
        for (let one = go(back[0], -1); one; one = go(one, -1)) back.push(one);
        return [there, back.reverse()]"""
    for sizes in ((2, 4, 2, 1), (2, 8, 4, 2)):
        choose(page, sizes, 5)
        there, back = element(page, script)
        assert there == back
        assert there[-1]["packet"] == element(page, "return e.packets")


def test_play_and_pause(page):
    page.keyboard.press("Tab")
    page.get_by_role("button", name="From the start").click()
    page.keyboard.press("Home")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"() => document.querySelector('{TAG}').moment.packet > 1")
    page.keyboard.press(" ")
    assert not element(page, "return e.playing")
    moment = element(page, "return e.moment")
    page.wait_for_timeout(700)
    assert element(page, "return e.moment") == moment
    assert page.locator(f"{TAG} button.play").text_content().endswith("Play")
    # at the end it stops, and plays from the start the next time
    element(page, "e.goTo({ packet: e.packets, layer: e.last }); e.toggle()")
    assert element(page, "return [e.playing, e.moment.packet]") == [True, 1]
    assert not element(page, "e.remove(); return e.playing")


def test_a_sample_is_followed(page):
    slider = page.get_by_role("slider", name="Output followed")
    slider.focus()
    page.keyboard.press("Home")
    assert (
        said(page, 1)
        == "Output 0 needs input 0 to 9: ready with packet 5, 9 samples (0.56 ms) later."
    )
    assert element(page, "return e.chain(0)") == [9, 3, 0, 0, 0, 0]
    box = page.locator(f"{TAG} canvas").first.bounding_box()
    left, room = box["x"] + 84, box["width"] - 94
    total = element(page, "return e.shown")
    page.mouse.move(left + 8.5 / total * room, box["y"] + 60)
    page.mouse.down()
    assert element(page, "return e.followed") == 8
    page.mouse.move(left + 6.5 / total * room, box["y"] + 60, steps=2)
    page.mouse.up()
    assert element(page, "return e.followed") == 6
    assert said(page, 1) in element(page, "return e.waits.ariaLabel")


def test_settings_that_do_not_go_together_give_way(page):
    page.get_by_role("radio", name="× 4").click()
    assert element(page, "return e.resampling") == 4
    page.get_by_role("slider", name="Stride, S").focus()
    page.keyboard.press("ArrowRight")  # three levels of 3 leave no fourth
    assert element(page, "return [e.stride, e.resampling]") == [3, 1]
    page.keyboard.press("End")
    assert element(page, "return [e.stride, e.kernel_size]") == [8, 8]
    page.get_by_role("slider", name="Samples of a frame").focus()
    page.keyboard.press("Home")
    assert element(page, "return [e.stride, e.kernel_size]") == [2, 2]
    packet = page.get_by_role("slider", name="Samples of a packet")
    packet.focus()
    page.keyboard.press("ArrowRight")
    assert packet.get_attribute("aria-valuetext") == "3"
    page.keyboard.press("End")
    assert element(page, "return e.packet") == 4096


def test_the_longest_network_is_drawn_too(page):
    choose(page, (6, 16, 8, 4), 4096)
    assert re.fullmatch(r"[\d,]+ samples, [\d.]+ s", shown(page, "ahead"))
    browser.assert_fits(page, TAG)


@pytest.mark.parametrize("width", [1100, 400])
def test_it_fits_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    for preset in range(3):
        page.get_by_role("radio").nth(preset).click()
        browser.assert_fits(page, TAG)
    page.set_viewport_size({"width": 1000, "height": 900})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 7}, "depth: expected a whole number, 1 to 6, got 7"),
        ({"kernel_size": 1}, "kernel_size: expected a whole number, 2 to 16, got 1"),
        ({"stride": 5}, "stride: expected at most kernel_size=4, got 5"),
        ({"packet": 0}, "packet: expected a whole number, 1 to 4096, got 0"),
        ({"sample_rate": 0.5}, "sample_rate: expected a whole number"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        encoder_decoder(**arguments)
