"""The blind listening tests in a real browser: orders, levels, keys, storage, the exported file."""

from __future__ import annotations

import html
import json

import browser
import numpy as np
import pytest
import torch

from lib.course.listening import analyse, read_answers
from lib.widgets import abx, mushra
from lib.widgets.listen import loudness

RATE = 16000
SECRETS = ("plain", "hoarse", "hissing", "anchor")
TAGS = ("unmix-abx", "unmix-mushra")


@pytest.fixture(scope="module")
def tests():
    """An ABX and a MUSHRA test of two items, each clip of another level and timbre."""
    generator = torch.Generator().manual_seed(2)
    time = torch.arange(3 * RATE // 2) / RATE
    items, references = {}, {}
    for item, pitch in (("low", 220.0), ("high", 440.0)):
        tone = 0.2 * torch.sin(2 * torch.pi * pitch * time) * (1 + torch.sin(40 * time))
        noise = torch.randn(len(time), generator=generator)
        references[item] = tone + 0.01 * noise
        items[item] = {
            "plain": 0.05 * tone,
            "hoarse": tone.clamp(-0.1, 0.1),
            "hissing": 0.5 * tone + 0.3 * noise,
        }
    pairs = {item: {name: of[name] for name in ("plain", "hoarse")} for item, of in items.items()}
    return {
        "unmix-abx": abx(pairs, RATE, name="pair", repeats=4),
        "unmix-mushra": mushra(items, references, RATE, name="many", version=3),
    }


@pytest.fixture(scope="module")
def address(tests, tmp_path_factory):
    """Where both stand on one page, and on one in a frame without storage."""
    folder = tmp_path_factory.mktemp("site")
    body = "".join(output._repr_html_() for output in tests.values())
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
    strict = f'<meta http-equiv="Content-Security-Policy" content="{policy}">{body}'
    pages = {
        "index": body,
        "frame": f'<iframe width="900" height="900" sandbox="allow-scripts" '
        f'srcdoc="{html.escape(strict)}"></iframe>',
    }
    for name, content in pages.items():
        document = f'<!doctype html><html lang="en"><meta charset="utf-8"><body>{content}'
        (folder / f"{name}.html").write_text(document, encoding="utf-8")
    with browser.serve(folder) as url:
        yield url


READY = "() => document.querySelectorAll('[data-ready]').length === 2"


@pytest.fixture
def page(chromium, address):
    """A page that never saw a listener."""
    opened, record = browser.open_page(chromium, f"{address}/index.html")
    opened.wait_for_function(READY)
    yield opened
    opened.evaluate("localStorage.clear()")
    record.assert_clean()
    opened.close()


def start(page, tag: str, listener: str) -> None:
    field = page.locator(tag).get_by_label("Your listener id")
    field.fill(listener)
    field.press("Enter")


def ask(page, tag: str, script: str):
    return browser.element(page, script, tag=tag)


def status(page, tag: str) -> str:
    """What stands beside the button that goes on; a screen reader is told the same."""
    text = page.locator(tag).locator(".status").inner_text()
    assert ask(page, tag, "return e.live.textContent") == text
    return text


def plan(page, tag: str):
    return ask(page, tag, "return e.trials")


def abx_trial(page, reply: str) -> None:
    panel = page.locator("unmix-abx")
    for name in ("Hear A", "Hear B", "Hear X", f"X is {reply}"):
        panel.get_by_role("button", name=name).click()
    panel.locator("button.next").click()


def mushra_trial(page, ratings) -> None:
    panel = page.locator("unmix-mushra")
    for slider, rating in zip(panel.get_by_role("slider").all(), ratings, strict=True):
        slider.fill(str(rating))
    panel.locator("button.next").click()


def saved(page, tag: str, folder):
    """The file that the page hands out."""
    with page.expect_download() as download:
        page.locator(tag).get_by_role("button", name="Save my answers").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


@pytest.mark.parametrize("tag", TAGS)
def test_the_order_is_the_listeners_own(page, tag):
    plans = {}
    for listener in ("ana", "ben", "cem", "dora", "1", "2", "3", "4"):
        start(page, tag, listener)
        plans[listener] = json.dumps(plan(page, tag))
        page.locator(tag).get_by_role("button", name="Another listener").click()
    assert len(set(plans.values())) == 8
    start(page, tag, " ANA ")  # the same person
    assert json.dumps(plan(page, tag)) == plans["ana"]


def test_letters_and_x_are_drawn_evenly(page):
    """Over many listeners: which system is A, which is X, and where the reference stands."""
    counted = page.evaluate(
        """(tags) => {
            const [abx, mushra] = tags.map((tag) => document.querySelector(tag));
            const first = [], x = [], places = [0, 0, 0, 0, 0];
            for (let i = 0; i < 500; i++) {
                abx.begin(`listener-${i}`);
                mushra.begin(`listener-${i}`);
                abx.trials.forEach((t) => { first.push(t.a); x.push(t.x === t.a ? 1 : 0); });
                mushra.trials.forEach((t) => { places[t.order.indexOf(3)] += 1; });
            }
            localStorage.clear();
            const mean = (list) => list.reduce((a, b) => a + b) / list.length;
            return { first: mean(first), x: mean(x), places };
        }""",
        TAGS,
    )
    assert counted["first"] == pytest.approx(0.5, abs=0.03)  # of 4000: 4 standard errors
    assert counted["x"] == pytest.approx(0.5, abs=0.03)
    assert np.array(counted["places"]) == pytest.approx(200, abs=55)  # of 1000: more than 4


@pytest.mark.parametrize("tag", TAGS)
def test_clips_are_equally_loud_as_they_are_played(page, tag):
    start(page, tag, "ana")
    count = {"unmix-abx": 3, "unmix-mushra": 6}[tag]
    assert ask(page, tag, "return e.player.tracks.length") == count
    signals = [browser.rendered(page.locator(tag), index) for index in range(count)]
    levels = [loudness(signal, RATE) for signal in signals]
    assert max(levels) - min(levels) < 0.1
    assert max(np.abs(signal).max() for signal in signals) < 1


@pytest.mark.parametrize("tag", TAGS)
def test_nothing_that_is_shown_or_spoken_names_a_system(page, tag):
    def told() -> str:
        return ask(
            page,
            tag,
            """const nodes = [...e.shadowRoot.querySelectorAll("*:not(style)")];
            return nodes.map((n) => [...n.attributes].map((a) => a.value).join(" ")).join(" ")
                + e.panel.innerText + e.live.textContent;""",
        )

    texts = [told()]
    start(page, tag, "ana")
    texts.append(told())
    page.locator(tag).get_by_role("button", name="Hear B").click()
    page.locator(tag).locator("button.next").click()
    texts.append(told())
    for text in texts:
        assert not [name for name in SECRETS if name in text.lower()]


def test_abx_by_keyboard_alone(page, tests, tmp_path):
    page.keyboard.press("Tab")  # the sample that sets the volume
    page.keyboard.press("Tab")
    page.keyboard.type("Eva.7")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    trials = plan(page, "unmix-abx")
    panel = page.locator("unmix-abx")
    for number, trial in enumerate(trials):
        assert page.evaluate("document.activeElement.shadowRoot.activeElement.textContent") == (
            f"Trial {number + 1} of {len(trials)}"
        )
        page.keyboard.press("n")
        assert status(page, "unmix-abx") == "Hear A and B and X first."
        for key in "abx":
            page.keyboard.press(key)
            pressed = panel.get_by_role("button", name=f"Hear {key.upper()}")
            assert pressed.get_attribute("aria-pressed") == "true"
            assert ask(page, "unmix-abx", "return e.live.textContent").endswith(key.upper())
        page.keyboard.press(" ")
        assert not ask(page, "unmix-abx", "return e.player.playing")
        page.keyboard.press("n")
        assert status(page, "unmix-abx").startswith("Answer first")
        page.keyboard.press("2")
        page.keyboard.press("1" if trial["x"] == trial["a"] else "2")
        page.keyboard.press("n")
    page.keyboard.press("Tab")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "pair-v1-eva.7.json"
    download.value.save_as(tmp_path / "pair.json")
    (record,) = read_answers(tmp_path)["pair"]
    assert record["listener"] == "eva.7"
    one = analyse([record])
    assert one.answers["right"].all() and len(one.answers) == 8
    # every trial stands in the file as it was drawn
    names, items = tests["unmix-abx"].config["test"]["systems"], record["test"]["items"]
    drawn = [(items[t["item"]], names[t["a"]], names[1 - t["a"]], names[t["x"]]) for t in trials]
    assert [(a["item"], a["a"], a["b"], a["x"]) for a in record["answers"]] == drawn
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert panel.get_by_text("found X in 8 of 8 trials").is_visible()
    assert panel.get_by_text("as well in 0.4 %").is_visible()


def test_mushra_by_keyboard_alone(page, tests, tmp_path):
    panel = page.locator("unmix-mushra")
    panel.get_by_label("Your listener id").focus()
    page.keyboard.type("eva")
    page.keyboard.press("Enter")
    trials = plan(page, "unmix-mushra")
    for trial in trials:
        page.keyboard.press("r")
        assert ask(page, "unmix-mushra", "return e.live.textContent") == "Now hearing the reference"
        page.keyboard.press("n")
        assert status(page, "unmix-mushra").endswith("still without: A, B, C, D, E.")
        for _ in range(2):
            page.keyboard.press("Tab")  # play, reference
        for letter, system in zip("ABCDE", trial["order"], strict=True):
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.shadowRoot.activeElement.ariaLabel") == (
                f"Hear {letter}"
            )
            page.keyboard.press("Enter")
            page.keyboard.press("Tab")
            page.keyboard.press("End" if system == 3 else "Home")
            for _ in range(system):
                page.keyboard.press("ArrowRight")
            slider = panel.get_by_label(f"Rating of {letter}")
            rating = 100 if system == 3 else system
            word = "excellent" if system == 3 else "bad"
            assert slider.get_attribute("aria-valuetext") == f"{rating} {word}"
            page.keyboard.press(letter.lower())  # letters work from a slider, too
            assert (
                ask(page, "unmix-mushra", "return e.player.selected") == "ABCDE".index(letter) + 1
            )
        page.keyboard.press("n")
    (record,) = read_answers(saved(page, "unmix-mushra", tmp_path).parent)["many"]
    assert record["test"] == tests["unmix-mushra"].config["test"]
    systems = record["test"]["systems"]
    for trial, answer in zip(trials, record["answers"], strict=True):
        assert answer["item"] == record["test"]["items"][trial["item"]]
        assert answer["order"] == [systems[index] for index in trial["order"]]
        assert answer["ratings"] == {
            "plain": 0, "hoarse": 1, "hissing": 2, "reference": 100, "anchor": 4
        }  # fmt: skip
        assert answer["seconds"] > 0
    assert record["started"] <= record["answers"][0]["answered"] <= record["finished"]
    assert analyse([record]).verdicts[0].startswith("1 of 1 listeners")
    panel.get_by_role("button", name="Show what I heard").click()
    assert panel.locator("tbody tr").first.inner_text().split() == [
        "reference",
        "100",
        "100",
        "100",
    ]
    assert "at least 90 every time" in panel.locator("section").inner_text()


@pytest.mark.parametrize("tag", TAGS)
def test_a_reload_loses_nothing(page, tag, tmp_path):
    start(page, tag, "ana")
    if tag == "unmix-abx":
        replies = list("ABBABABA")
        for reply in replies[:3]:
            abx_trial(page, reply)
        page.locator(tag).get_by_role("button", name="X is A").click()
    else:
        mushra_trial(page, (10, 20, 30, 40, 50))
        page.locator(tag).get_by_label("Rating of D").fill("77")
    before = plan(page, tag)
    kept = ask(page, tag, "return e.state.answers")
    page.reload()
    page.wait_for_function(READY)
    assert plan(page, tag) == before and ask(page, tag, "return e.state.answers") == kept
    if tag == "unmix-abx":
        pressed = page.locator(tag).get_by_role("button", name="X is A")
        assert pressed.get_attribute("aria-pressed") == "true"
        for reply in replies[3:]:
            abx_trial(page, reply)
    else:
        assert page.locator(tag).get_by_label("Rating of D").input_value() == "77"
        assert page.locator(tag).get_by_text("not rated").count() == 4
        mushra_trial(page, (60, 70, 80, 90, 100))
    page.reload()  # the end is kept, too
    page.wait_for_function(READY)
    record = json.loads(saved(page, tag, tmp_path).read_text(encoding="utf-8"))
    assert record["answers"][: len(kept)] == kept
    if tag == "unmix-abx":
        assert [answer["answer"] for answer in record["answers"]] == [r.lower() for r in replies]
    else:
        answer = record["answers"][1]
        assert [answer["ratings"][s] for s in answer["order"]] == [60, 70, 80, 90, 100]


def test_listeners_at_one_computer_do_not_mix(page):
    start(page, "unmix-abx", "ana")
    abx_trial(page, "A")
    page.locator("unmix-abx").get_by_role("button", name="Another listener").click()
    start(page, "unmix-abx", "ben")
    assert ask(page, "unmix-abx", "return e.state.answers.length") == 0
    page.locator("unmix-abx").get_by_role("button", name="Another listener").click()
    start(page, "unmix-abx", "ana")
    assert ask(page, "unmix-abx", "return e.state.answers.length") == 1


def test_ids_that_cannot_be_handed_in_are_refused(page):
    for listener in ("", "  ", "two words", "=1+1", "../x", "a" * 41):
        start(page, "unmix-abx", listener)
        assert status(page, "unmix-abx").startswith("Type an id first")
    assert not page.locator("unmix-abx").get_by_text("Trial 1").count()


def test_a_frame_without_storage_says_so_and_still_hands_out_the_answers(chromium, address):
    page, record = browser.open_page(chromium, f"{address}/frame.html")
    frame = page.frames[1]
    frame.wait_for_function(READY)
    panel = frame.locator("unmix-mushra")
    start(frame, "unmix-mushra", "ana")
    assert panel.get_by_text("finish before you close or reload").is_visible()
    for _ in range(2):
        mushra_trial(frame, (1, 2, 3, 4, 5))
    panel.get_by_text("If nothing is saved").click()
    text = panel.get_by_label("Your answers", exact=True).input_value()
    assert len(json.loads(text)["answers"]) == 2
    page.close()
    record.assert_clean()


@pytest.mark.parametrize("width", [1100, 400])
def test_it_fits_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    for tag in TAGS:
        browser.assert_fits(page, tag)
        start(page, tag, "ana")
        browser.assert_fits(page, tag)
    for _ in range(2):
        mushra_trial(page, (1, 2, 3, 4, 5))
    page.locator("unmix-mushra").get_by_role("button", name="Show what I heard").click()
    browser.assert_fits(page, "unmix-mushra")
