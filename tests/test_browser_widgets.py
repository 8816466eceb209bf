"""The listening panel and the quiz in a real browser, on a page that is built here."""

from __future__ import annotations

import html

import browser
import numpy as np
import pytest
import torch

from lib.quiz import show
from lib.stft import STFT
from lib.widgets import listen
from lib.widgets.element import encode_array, script
from lib.widgets.listen import loudness

SAMPLE_RATE = 16000
READY = "count => document.querySelectorAll('[data-ready]').length === count"

QUESTIONS = [
    {
        "question": "By how much does the level rise?",
        "answers": [
            {"text": "3 dB", "correct": True, "feedback": "The powers add."},
            {"text": "6 dB", "correct": False, "feedback": "That is for equal signals."},
        ],
    },
    {
        "question": "Which are linear?",
        "answers": [
            {"text": "the STFT", "correct": True, "feedback": "A sum of products."},
            {"text": "a fixed mask", "correct": True, "feedback": "It only scales."},
            {"text": "the magnitude", "correct": False, "feedback": "Phases matter."},
        ],
    },
    {
        "question": "A factor of 10 in amplitude is",
        "numeric": {
            "value": 20,
            "tolerance": 0.1,
            "unit": "dB",
            "feedback_right": "20 log<sub>10</sub> 10.",
            "feedback_wrong": "Amplitudes take 20.",
        },
    },
]


def _signals(seconds: float = 2.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(int(seconds * SAMPLE_RATE), generator=generator)
    time = torch.arange(noise.numel()) / SAMPLE_RATE
    tone = torch.sin(2 * np.pi * 330 * time) * (1 + torch.sin(2 * np.pi * 2 * time)) / 2
    return {"mixture": 0.3 * tone + 0.05 * noise, "estimate": 0.02 * tone, "noise": 0.1 * noise}


def _document(body: str, style: str = "background:#fff;color:#222") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Widgets</title></head>'
        f'<body style="{style}">{body}</body></html>'
    )


@pytest.fixture(scope="module")
def context():
    with browser.chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    signals = _signals()
    outputs = [
        listen(signals, SAMPLE_RATE, "First"),
        listen(dict(list(signals.items())[:2]), SAMPLE_RATE, "Second"),
        show({"title": "Levels", "questions": QUESTIONS}),
    ]
    body = "\n".join(output._repr_html_() for output in outputs)
    pages = {
        "index": _document(body),
        "dark": _document(body, "background:#111;color:#ddd"),
        "card": _document(
            "<style>.cell_output .text_html { background: #ced6dd; color: #222832 }</style>"
            f'<div class="cell_output"><div class="text_html">{body}</div></div>',
            "background:#111;color:#ddd",
        ),
        "blank": _document(f"<script>{script('shared')}</script>"),
        "frame": _document(
            f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(_strict(body))}"></iframe>'
        ),
    }
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    with browser.serve(folder) as address:
        yield address


def _strict(body: str) -> str:
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
    return f'<meta http-equiv="Content-Security-Policy" content="{policy}">{body}'


@pytest.fixture
def page(context, site):
    opened, record = browser.open_page(context, f"{site}/index.html")
    opened.wait_for_function(READY, arg=3, timeout=20_000)
    yield opened
    opened.close()
    record.assert_clean()


@pytest.fixture
def blank(context, site):
    opened, record = browser.open_page(context, f"{site}/blank.html")
    yield opened
    opened.close()
    record.assert_clean()


def _panel(page, number: int = 0):
    return page.locator("unmix-listen").nth(number)


def _state(page, number: int = 0) -> dict:
    return _panel(page, number).evaluate(
        "e => ({position: e.player.position, playing: e.player.playing, loop: e.player.loop,"
        " selected: e.player.selected, spoken: e.live.textContent})"
    )


# ------------------------------------------------------------------ the panel


def test_panel_plays_and_returns_to_the_start(page):
    panel = _panel(page)
    panel.get_by_role("button", name="Play").click()
    page.wait_for_function(
        "document.querySelector('unmix-listen').player.position > 0.1", timeout=10_000
    )
    assert _state(page)["playing"]
    panel.get_by_role("button", name="Pause").click()
    stopped = _state(page)["position"]
    assert 0.1 < stopped < 2
    panel.get_by_role("slider").focus()
    page.keyboard.press("Home")
    assert _state(page)["position"] == 0


def test_keys_switch_seek_loop_and_match(page):
    _panel(page).get_by_role("radio", name="mixture").focus()
    page.keyboard.press("2")
    assert _state(page)["selected"] == 1
    assert _state(page)["spoken"] == "Now hearing estimate"
    focused = "e => e.shadowRoot.activeElement.textContent"
    assert _panel(page).evaluate(focused).startswith("estimate")
    page.keyboard.press("ArrowRight")  # on the radio group: the next track
    assert _state(page)["selected"] == 2
    page.keyboard.press("ArrowRight")
    assert _state(page)["selected"] == 0
    page.keyboard.press("l")
    assert _state(page)["loop"] == [0, 2]
    page.keyboard.press("l")
    assert _state(page)["loop"] is None
    page.keyboard.press("m")
    switch = _panel(page).get_by_role("switch", name="Loudness match")
    assert switch.get_attribute("aria-checked") == "false"
    for state in ("true", "false", "true"):
        switch.click()
        assert switch.get_attribute("aria-checked") == state
    _panel(page).get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")  # on the spectrogram: one second on
    assert _state(page)["position"] == pytest.approx(1.0)
    page.keyboard.press(" ")
    assert _state(page)["playing"]
    page.keyboard.press("k")
    assert not _state(page)["playing"]


def test_click_seeks_and_drag_loops(page):
    box = _panel(page).get_by_role("slider").bounding_box()

    def point(part: float) -> tuple[float, float]:
        return box["x"] + part * box["width"], box["y"] + box["height"] / 2

    page.mouse.click(*point(0.5))
    assert _state(page)["position"] == pytest.approx(1.0, abs=0.02)
    page.mouse.move(*point(0.75))
    page.mouse.down()
    page.mouse.move(*point(0.25))
    page.mouse.up()
    state = _state(page)
    assert state["loop"] == pytest.approx([0.5, 1.5], abs=0.02)
    assert state["position"] == state["loop"][0]
    page.mouse.click(*point(0.9))  # outside of the region: the loop goes
    assert _state(page)["loop"] is None


def test_panels_do_not_disturb_each_other(page):
    first, second = _panel(page, 0), _panel(page, 1)
    first.get_by_role("button", name="Play").click()
    assert _state(page, 0)["playing"]
    second.get_by_role("button", name="Play").click()
    assert not _state(page, 0)["playing"]
    assert _state(page, 1)["playing"]
    second.get_by_role("radio", name="estimate").click()
    assert (_state(page, 0)["selected"], _state(page, 1)["selected"]) == (0, 1)


def test_removed_panel_falls_silent(page):
    _panel(page).get_by_role("button", name="Play").click()
    playing = page.evaluate(
        "() => { const e = document.querySelector('unmix-listen'); e.remove();"
        " return e.player.playing; }"
    )
    assert playing is False


def test_spectrogram_is_painted_and_changes_with_the_track(page):
    def picture() -> str:
        return _panel(page).evaluate("e => e.view.canvas.toDataURL()")

    mixture = picture()
    _panel(page).get_by_role("radio", name="estimate").click()
    assert len(mixture) > 5000
    assert picture() != mixture


def test_loudness_is_matched_within_a_tenth_of_a_decibel(page):
    def level(number: int, matched: bool) -> float:
        _panel(page).evaluate("(element, matched) => element.setMatched(matched)", matched)
        samples = browser.rendered(_panel(page), number)
        assert np.abs(samples).max() < 1
        return loudness(samples, SAMPLE_RATE)

    matched = [level(number, True) for number in range(3)]
    plain = [level(number, False) for number in range(3)]
    assert max(matched) - min(matched) < 0.1
    assert max(plain) - min(plain) > 10


def test_dark_page_is_noticed(context, site):
    for name, dark in (("index", False), ("dark", True)):
        opened, record = browser.open_page(context, f"{site}/{name}.html")
        opened.wait_for_function(READY, arg=3)
        assert _panel(opened).evaluate("e => e.hasAttribute('data-dark')") is dark
        opened.evaluate("document.body.style.color = '#fafafa'")  # the reader switches the theme
        opened.wait_for_function("document.querySelector('unmix-listen').dark === true")
        opened.close()
        record.assert_clean()


def test_the_books_light_card_in_dark_mode_is_dropped(context, site):
    """The theme of the book lays HTML outputs on a light card with dark text in dark mode."""
    opened, record = browser.open_page(context, f"{site}/card.html")
    opened.wait_for_function(READY, arg=3)
    assert _panel(opened).evaluate("e => e.hasAttribute('data-dark')")
    card = opened.locator(".text_html")
    assert card.evaluate("e => getComputedStyle(e).backgroundColor") == "rgba(0, 0, 0, 0)"
    opened.close()
    record.assert_clean()


def test_works_in_an_opaque_frame_under_a_strict_policy(context, site):
    opened, record = browser.open_page(context, f"{site}/frame.html")
    frame = opened.frames[1]
    frame.wait_for_function(READY, arg=3, timeout=20_000)
    assert frame.evaluate("window.origin") == "null"
    opened.close()
    record.assert_clean()


# ------------------------------------------------------------------ sound, sample by sample

# Plays tracks (functions of the sample number) into a buffer; `steps` are [time, action] pairs.
_RENDER = """async ({kinds, length, steps, loop, rate}) => {
    const make = {
        sine: (n) => 0.5 * Math.sin(2 * Math.PI * 300 * n / rate),
        ramp: (n) => n / length,
        falling: (n) => -n / length,
    };
    const context = new OfflineAudioContext(1, length, rate);
    const player = new Unmix.Player({ sampleRate: rate, context });
    player.setTracks(kinds.map((kind) => (
        { channels: [Float32Array.from({ length }, (_, n) => make[kind](n))] })));
    if (loop) player.setLoop(loop);
    const positions = [];
    for (const [time, action, value] of steps) {
        context.suspend(time).then(() => {
            player[action](value);
            positions.push([context.currentTime, player.position]);
            context.resume();
        });
    }
    player.play();
    const output = await context.startRendering();
    return { samples: Array.from(output.getChannelData(0)), positions };
}"""

_LEAD = 0.02  # the player starts this long after it is told to


def _render(page, kinds, steps=(), loop=None, seconds=1.0) -> tuple[np.ndarray, list]:
    result = page.evaluate(
        _RENDER,
        {
            "kinds": list(kinds),
            "length": int(seconds * SAMPLE_RATE),
            "steps": [list(step) for step in steps],
            "loop": loop,
            "rate": SAMPLE_RATE,
        },
    )
    return np.array(result["samples"]), result["positions"]


def test_switching_equal_sines_changes_nothing(blank):
    switches = [(0.2 + 0.07 * i, "select", (i + 1) % 3) for i in range(9)]
    samples, _ = _render(blank, ["sine"] * 3, switches)
    start = int((_LEAD + 0.03) * SAMPLE_RATE)
    bound = 0.5 * 2 * np.pi * 300 / SAMPLE_RATE
    assert np.abs(np.diff(samples[start:])).max() <= 1.02 * bound
    plain, _ = _render(blank, ["sine"] * 3)
    assert np.abs(samples - plain).max() < 1e-5


def test_tracks_stay_on_the_same_sample(blank):
    samples, positions = _render(
        blank, ["ramp", "falling"], [(0.3, "select", 1), (0.6, "select", 0)]
    )
    time = np.arange(samples.size) / SAMPLE_RATE
    for moment, sign in ((0.28, 1), (0.55, -1), (0.9, 1)):
        index = int(moment * SAMPLE_RATE)
        assert samples[index] == pytest.approx(sign * (time[index] - _LEAD), abs=1e-4)
    for clock, position in positions:
        assert position == pytest.approx(clock - _LEAD, abs=1e-6)


def test_levels_and_gains_change_while_playing(blank):
    steps = [(0.2, "setLevels", [0.5, 0.25]), (0.4, "select", 1), (0.6, "setGains", [1, 1])]
    samples, _ = _render(blank, ["ramp", "ramp"], steps)
    for moment, factor in ((0.18, 1.0), (0.38, 0.5), (0.58, 0.25), (0.9, 0.75)):
        expected = factor * (moment - _LEAD)
        assert samples[int(moment * SAMPLE_RATE)] == pytest.approx(expected, abs=1e-4)


def test_switching_has_no_step(blank):
    samples, _ = _render(blank, ["ramp", "falling"], [(0.5, "select", 1)])
    assert samples[-1] < 0
    # a jump of one sample would be 1.0 here; the crossfade takes milliseconds
    assert np.abs(np.diff(samples[1000:])).max() < 0.06


def test_loop_stays_inside_its_region_and_keeps_its_period(blank):
    region = [0.25, 0.5]
    samples, _ = _render(blank, ["ramp"], loop=region, seconds=2.0)
    steady = samples[int((_LEAD + 0.02) * SAMPLE_RATE) :] * 2.0
    assert steady.min() >= region[0] - 0.01
    assert steady.max() <= region[1] + 0.001
    period = int(0.25 * SAMPLE_RATE)
    assert np.abs(steady[period:] - steady[:-period]).max() < 1e-4


def test_loop_has_no_step_at_its_seam(blank):
    # 300 Hz has no whole number of periods in this region: a bare jump would click
    samples, _ = _render(blank, ["sine"], loop=[0.1, 0.3008], seconds=1.5)
    bound = 0.5 * 2 * np.pi * 300 / SAMPLE_RATE
    assert np.abs(np.diff(samples[800:])).max() <= 1.5 * bound


def test_seek_while_playing(blank):
    samples, _ = _render(blank, ["ramp"], [(0.3, "seek", 0.1)])
    index = int(0.6 * SAMPLE_RATE)
    assert samples[index] == pytest.approx(0.1 + 0.6 - 0.3 - _LEAD, abs=0.01)


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize("length", [1, 1000])
@pytest.mark.parametrize("window", ["hann", "sqrt_hann"])
def test_stft_equals_lib(blank, length, window):
    generator = torch.Generator().manual_seed(length)
    signal = torch.randn(length, generator=generator, dtype=torch.float64)
    result = blank.evaluate(
        """({signal, window}) => {
            const spectrum = Unmix.stft(signal, { nFft: 256, hop: 64, window });
            const { re, im, frames, bins } = spectrum;
            const back = Unmix.istft(spectrum);
            return { re: Array.from(re), im: Array.from(im), frames, bins, back: Array.from(back) };
        }""",
        {"signal": signal.tolist(), "window": window},
    )
    expected = STFT(256, 64, window=window).double()(signal)
    shape = (result["frames"], result["bins"])
    got = torch.complex(torch.tensor(result["re"]), torch.tensor(result["im"])).reshape(shape).T
    assert tuple(got.shape) == tuple(expected.shape)
    assert (got - expected).abs().max() < 1e-4
    assert np.abs(np.array(result["back"]) - signal.numpy()).max() < 1e-5


def test_istft_of_a_changed_spectrogram_equals_lib(blank):
    generator = torch.Generator().manual_seed(3)
    signal = torch.randn(900, generator=generator)
    mask = torch.rand(129, 16, generator=generator)
    transform = STFT(256, 64)
    spectrum = transform(signal) * mask
    got = blank.evaluate(
        """({signal, mask}) => {
            const spectrum = Unmix.stft(signal, { nFft: 256, hop: 64 });
            mask.forEach((value, i) => { spectrum.re[i] *= value; spectrum.im[i] *= value; });
            return Array.from(Unmix.istft(spectrum));
        }""",
        {"signal": signal.tolist(), "mask": mask.T.reshape(-1).tolist()},
    )
    expected = transform.inverse(spectrum, 900)
    assert np.abs(np.array(got) - expected.numpy()).max() < 1e-5


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-7), ("int8", 0.02), ("uint8", 0.02)]
)
def test_arrays_travel(blank, dtype, tolerance):
    values = torch.linspace(-2, 2.5, 12).reshape(3, 4)
    got = blank.evaluate(
        "packed => { const a = Unmix.array(packed); return [Array.from(a.data), a.shape]; }",
        encode_array(values, dtype),
    )
    assert got[1] == [3, 4]
    assert np.abs(np.array(got[0]) - values.reshape(-1).numpy()).max() <= tolerance


def test_full_scale_sine_is_zero_decibels(blank):
    top = blank.evaluate(
        """() => {
            const tone = Float32Array.from({length: 16000}, (_, n) => Math.sin(Math.PI * n / 8));
            return Unmix.powerSpectrogram([tone], {sampleRate: 16000, maxFrequency: 8000}).top;
        }"""
    )
    assert top == pytest.approx(0, abs=0.05)


def test_colour_maps_are_those_of_matplotlib(blank):
    matplotlib = pytest.importorskip("matplotlib")
    for name in ("magma", "viridis", "cividis"):
        got = np.array(blank.evaluate("name => Array.from(Unmix.colormap(name))", name))
        right = matplotlib.colormaps[name](np.arange(256))[:, :3].reshape(-1) * 255
        assert np.abs(got - right).max() < 11


def test_ticks_are_round_and_inside(blank):
    assert blank.evaluate("Unmix.ticks(0, 3, 6)") == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert blank.evaluate("Unmix.ticks(-80, 0, 4)") == [-80, -60, -40, -20, 0]
    assert blank.evaluate("Unmix.ticks(0.13, 0.37, 3)") == [0.2, 0.3]


def test_controls_speak_their_values(blank):
    result = blank.evaluate(
        """() => {
            let heard = null;
            const slider = Unmix.slider({ label: "SNR", min: -10, max: 10, step: 1, value: -3,
                unit: "dB", onInput: (value) => { heard = value; } });
            document.body.append(slider);
            slider.input.value = 4;
            slider.input.dispatchEvent(new Event("input"));
            return [heard, slider.value, slider.querySelector("output").textContent,
                slider.input.getAttribute("aria-valuetext"), slider.input.labels[0].textContent];
        }"""
    )
    assert result == [4, 4, "4 dB", "4 dB", "SNR"]


# ------------------------------------------------------------------ the quiz


def _score(page) -> str:
    return page.locator("unmix-quiz").get_by_role("status").inner_text()


def _text(quiz) -> str:
    return quiz.locator("section").inner_text()


def test_quiz_gives_feedback_and_counts(page):
    quiz = page.locator("unmix-quiz")
    check = quiz.get_by_role("button", name="Check")
    assert _score(page).startswith("0 of 3")
    check.nth(0).click()
    assert "Choose an answer first." in _text(quiz)
    quiz.get_by_role("radio", name="6 dB").check()
    check.nth(0).click()
    assert "That is for equal signals." in _text(quiz)
    assert _score(page).startswith("0 of 3")
    quiz.get_by_role("radio", name="3 dB").check()
    check.nth(0).click()
    assert "The powers add." in _text(quiz)
    quiz.get_by_role("checkbox", name="the STFT").check()
    check.nth(1).click()
    assert "Something is still missing." in _text(quiz)
    quiz.get_by_role("checkbox", name="a fixed mask").check()
    check.nth(1).click()
    assert _score(page).startswith("2 of 3")
    answer = quiz.get_by_label("Your answer in dB")
    for text, right in (("twenty", 2), ("10", 2), ("20,05", 3), ("\u221220", 2), ("2e1", 3)):
        answer.fill(text)
        check.nth(2).click()
        assert _score(page).startswith(f"{right} of 3")
    assert quiz.locator("sub").inner_text() == "10"


def test_quiz_works_by_keyboard_alone(page):
    page.locator("unmix-quiz").get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert _score(page).startswith("1 of 3")


def test_keys_do_not_reach_the_host(page):
    """Jupyter's command mode would take single letters for its own."""
    page.evaluate("window.leaked = []; addEventListener('keydown', e => leaked.push(e.key))")
    _panel(page).get_by_role("radio", name="mixture").focus()
    for key in ("l", "m", "x", "2"):
        page.keyboard.press(key)
    page.locator("unmix-quiz").get_by_label("Your answer in dB").focus()
    page.keyboard.type("2d")
    assert page.evaluate("leaked") == []


def test_page_weight(context, site):
    opened, record = browser.open_page(context, f"{site}/index.html")
    opened.close()
    assert sum(record.bytes.values()) < 5e6
    assert len(script("shared") + script("listen")) < 36_000
