"""Published weights, from a server in this process that has made-up ones."""

import hashlib
import pathlib

import pytest
import torch
from serving import serve

from lib.errors import DataError, InputError
from lib.models import OpenUnmix, official


@pytest.fixture
def release(monkeypatch, tmp_path):
    """A tiny release: returns the networks whose weights it serves."""
    options = {"channels": 1, "n_fft": 64, "hop_length": 32, "bandwidth": None, "hidden": 8}
    files = tmp_path / "server" / "files"
    files.mkdir(parents=True)
    networks, names = {}, {}
    for target in ("speech", "noise"):
        torch.manual_seed(len(target))
        networks[target] = OpenUnmix([target], **options).masker.targets[target]
        path = files / "weights"
        torch.save(networks[target].state_dict() | {"stft.window": torch.ones(64)}, path)
        names[target] = f"{target}_{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
        path.rename(files / names[target])
    torch.save({"something": torch.ones(1)}, files / "weights")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path / "cache"))
    with serve(files.parent) as url:
        made = official.Release(url, names, options, "a licence", "nothing")
        monkeypatch.setitem(official.RELEASES, "openunmix/made", made)
        yield networks


def folder_names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_all_targets_come_with_their_weights_and_the_wiener_filter(release, tmp_path, capsys):
    separator = official.load("openunmix/made")
    printed = capsys.readouterr().out
    assert "2 x about" in printed and "kB" in printed and "a licence" in printed
    assert separator.source_names == ("speech", "noise")
    assert separator.wiener_iterations == 1 and not separator.training
    for target, network in release.items():
        ours = separator.masker.targets[target].state_dict()
        assert all(torch.equal(ours[key], value) for key, value in network.state_dict().items())
    official.load("openunmix/made")
    assert capsys.readouterr().out == ""  # nothing fetched, nothing said


def test_one_target_alone(release, tmp_path):
    separator = official.load("openunmix/made-noise", progress=False)
    assert separator.source_names == ("noise",) and separator.wiener_iterations == 0
    assert len(folder_names(tmp_path / "cache")) == 1


def test_a_wrong_hash_is_kept_apart(release, tmp_path):
    files = official.RELEASES["openunmix/made"].files
    served = tmp_path / "server" / "files" / files["speech"]
    served.write_bytes(served.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match="expected sha256"):
        official.load("openunmix/made-speech", progress=False)
    assert folder_names(tmp_path / "cache") == [files["speech"] + ".bad"]


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_a_pickle_that_would_run_something_does_not(release, tmp_path):
    files = official.RELEASES["openunmix/made"].files
    other = tmp_path / "server" / "files" / "weights"
    torch.save({"fc1.weight": Trap(tmp_path / "sprung")}, other)
    files["speech"] = f"x-{hashlib.sha256(other.read_bytes()).hexdigest()[:8]}.pth"
    other.rename(other.with_name(files["speech"]))
    with pytest.raises(DataError, match="expected the weights of an Open-Unmix network"):
        official.load("openunmix/made-speech", progress=False)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"no weights", None], ids=["text", "another state"])
def test_another_content_with_the_right_hash(release, tmp_path, content):
    files = official.RELEASES["openunmix/made"].files
    other = tmp_path / "server" / "files" / "weights"
    if content is not None:
        other.write_bytes(content)
    files["speech"] = f"x-{hashlib.sha256(other.read_bytes()).hexdigest()[:8]}.pth"
    other.rename(other.with_name(files["speech"]))
    with pytest.raises(DataError, match="expected the weights of an Open-Unmix network"):
        official.load("openunmix/made-speech", progress=False)


def test_offline_says_how_to_get_it_by_hand(release, tmp_path, monkeypatch):
    gone = official.RELEASES["openunmix/made"]._replace(page="http://127.0.0.1:9")
    monkeypatch.setitem(official.RELEASES, "openunmix/made", gone)
    with pytest.raises(DataError, match="cannot be reached .* put it at .*speech_.*pth"):
        official.load("openunmix/made", progress=False)


@pytest.mark.parametrize("name", ["openunmix/none", "openunmix/umxhq-voice", "umxhq"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(InputError, match="openunmix/umxhq-vocals"):
        official.load(name)


@pytest.mark.parametrize("name", official.RELEASES)
def test_releases_have_the_published_sizes(name):
    release = official.RELEASES[name]
    with torch.device("meta"):
        separator = OpenUnmix(list(release.files), **release.options)
    count = sum(weights.numel() for weights in separator.parameters()) / len(release.files)
    sizes = {"openunmix/umxl": 28_257_188, "openunmix/umxse": 1_583_622}
    assert count == sizes.get(name, 8_893_348)
    assert len({file[-12:-4] for file in release.files.values()}) == len(release.files)
