"""Published weights, from a server in this process that has made-up ones.

Peers draw weights, their files are served as the publisher lays them out, and our systems answer as
the peers do. Asteroid and SpeechBrain are in the optional group ``peers``; where they are not
installed, a list of their weights stands in.
"""

import hashlib
import json
import pathlib
import re

import numpy as np
import pytest
import torch
from peers import noise, speechbrain_sepformer, through
from serving import serve

import lib  # noqa: F401 - lets torchaudio load
from lib.errors import DataError, InputError
from lib.models import DPRNN, ConvTasNet, OpenUnmix, Separator, SepFormer, official
from lib.models.official.asteroid import from_asteroid
from lib.models.official.speechbrain import from_speechbrain
from lib.models.official.torchaudio import from_torchaudio

PEERS = pathlib.Path(__file__).parent / "golden" / "official_peers.json"
TORCHAUDIO = "torchaudio/conv-tasnet-libri2mix"
ASTEROID = "asteroid/conv-tasnet-wham-sepclean"
DPRNN_NAME = "asteroid/dprnn-wham-sepclean"
SPEECHBRAIN = "speechbrain/sepformer-wsj02mix"
OPEN_UNMIX = "openunmix/umxse"

UNMIX = {"n_fft": 64, "hop_length": 32, "hidden": 8}
CONV = {"filters": 24, "bottleneck": 12, "hidden": 20, "skip": 12, "blocks": 3, "repeats": 2}
RNN = {"filters": 16, "channels": 12, "hidden": 9, "blocks": 2, "chunk": 10}
SEP = {"filters": 16, "channels": 16, "chunk": 10, "layers": 2, "heads": 4, "hidden": 24}
SMALL = {OPEN_UNMIX: UNMIX, TORCHAUDIO: CONV, ASTEROID: CONV, DPRNN_NAME: RNN, SPEECHBRAIN: SEP}


@pytest.fixture
def publish(monkeypatch, tmp_path):
    """Serve files in the layout of a release, which is made small: ``publish(name, contents)``."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path / "cache"))
    with serve(tmp_path / "server") as url:

        def serve_release(name, contents):
            release, files = official.RELEASES[name], {}
            for part, file in release.files.items():
                place = file.url.partition("://")[2].partition("/")[2]
                path = tmp_path / "server" / place
                path.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(contents[part], bytes):
                    path.write_bytes(contents[part])
                else:
                    torch.save(contents[part], path)
                stated = hashlib.sha256(path.read_bytes()).hexdigest() if file.sha256 else None
                files[part] = file._replace(url=f"{url}/{place}", sha256=stated)
            options = release.options | SMALL[name]
            release = release._replace(files=files, options=options)
            monkeypatch.setitem(official.RELEASES, name, release)
            return release

        yield serve_release


def folder_names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def served(tmp_path, release, part=""):
    """The file that a server has."""
    return tmp_path / "server" / release.files[part].url.partition("://")[2].partition("/")[2]


def assert_same(ours, theirs):
    """Equal to 1e-5 of the level."""
    level = float(theirs.abs().max())
    assert level > 0
    torch.testing.assert_close(ours / level, theirs / level, atol=1e-5, rtol=0)


# peers, in the sizes of a release


def torchaudio(options):
    from torchaudio.models import ConvTasNet as Peer

    config = ConvTasNet(**options).config
    assert config["skip"] == config["bottleneck"] and not config["last_residual"]
    names = ("speakers", "kernel_size", "filters", "taps", "bottleneck", "hidden", "blocks")
    sizes = [config[name] for name in (*names, "repeats", "activation")]
    return Peer(*sizes)


def asteroid(options):
    config = ConvTasNet(**options).config
    return pytest.importorskip("asteroid.models").ConvTasNet(
        config["speakers"],
        n_blocks=config["blocks"],
        n_repeats=config["repeats"],
        bn_chan=config["bottleneck"],
        hid_chan=config["hidden"],
        skip_chan=config["skip"],
        mask_act=config["activation"],
        kernel_size=config["kernel_size"],
        n_filters=config["filters"],
    )


def asteroid_dprnn(options):
    config = DPRNN(**options).config
    return pytest.importorskip("asteroid.models").DPRNNTasNet(
        config["speakers"],
        bn_chan=config["channels"],
        hid_size=config["hidden"],
        chunk_size=config["chunk"],
        n_repeats=config["blocks"],
        mask_act=config["activation"],
        kernel_size=config["kernel_size"],
        n_filters=config["filters"],
        stride=config["kernel_size"] // 2,
    )


def speechbrain(options):
    return speechbrain_sepformer(SepFormer(**options).config)


# of each publisher and system: a name, the peer, what names its weights as ours
MAPPED = {
    TORCHAUDIO: (torchaudio, from_torchaudio),
    ASTEROID: (asteroid, from_asteroid),
    DPRNN_NAME: (asteroid_dprnn, from_asteroid),
    SPEECHBRAIN: (speechbrain, from_speechbrain),
}
KINDS = {
    name: MAPPED[next(known for known in MAPPED if name.startswith(known[:15]))]
    for name in official.RELEASES
    if not name.startswith("openunmix")
}


def drawn(peer):
    """A peer whose weights are all drawn at random, those of norms too."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in peer.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    return peer.eval()


def asteroid_file(peer):
    """As Asteroid writes it, with scores as numbers of numpy."""
    return {
        "model_name": type(peer).__name__,
        "state_dict": peer.state_dict(),
        "model_args": peer.get_model_args(),
        "infos": {"software_versions": {"torch_version": "1.5.0"}},
        "final_metrics": {"si_sdr": np.float64(16.2), "epoch": np.int64(3)},
    }


def speechbrain_files(state):
    parts = {"encoder": {}, "masknet": {}, "decoder": {}}
    for name, values in state.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = values
    return parts


# the way of a file into a system


@pytest.mark.parametrize("time", [17, 997, 4000])
@torch.no_grad()
def test_torchaudios_weights_answer_as_there(publish, time):
    release = publish(TORCHAUDIO, {"": {}})
    peer = drawn(torchaudio(release.options))
    publish(TORCHAUDIO, {"": peer.state_dict()})
    ours, mixture = Separator.from_pretrained(TORCHAUDIO), noise(2, 1, time)
    assert isinstance(ours, ConvTasNet) and not ours.training
    assert_same(ours(mixture)[:, :, 0], peer(mixture))


@pytest.mark.parametrize("name, build", [(ASTEROID, asteroid), (DPRNN_NAME, asteroid_dprnn)])
@torch.no_grad()
def test_asteroids_weights_answer_as_there(publish, name, build):
    release = publish(name, {"": {}})
    peer = drawn(build(release.options))
    publish(name, {"": asteroid_file(peer)})
    ours, mixture = Separator.from_pretrained(name), noise(2, 1, 997)
    assert_same(ours(mixture)[:, :, 0], through(peer, ours, mixture))


@torch.no_grad()
def test_speechbrains_weights_answer_as_there(publish):
    release = publish(SPEECHBRAIN, {"encoder": {}, "masknet": {}, "decoder": {}})
    peer = drawn(speechbrain(release.options))
    publish(SPEECHBRAIN, speechbrain_files(peer.state_dict()))
    ours, mixture = SepFormer.from_pretrained(SPEECHBRAIN), noise(2, 1, 997)
    theirs = through(lambda padded: peer(padded[:, 0]).transpose(1, 2), ours, mixture)
    assert_same(ours(mixture)[:, :, 0], theirs)


@pytest.mark.parametrize("name", MAPPED)
def test_the_list_of_weights_is_the_peers(name):
    build, _ = MAPPED[name]
    peer = build(official.RELEASES[name].options | SMALL[name])
    listed = {key: list(values.shape) for key, values in peer.state_dict().items()}
    assert listed == json.loads(PEERS.read_text())[name]


@pytest.mark.parametrize("name", MAPPED)
def test_every_listed_weight_arrives_at_its_place(publish, name):
    """Without the peers."""
    state = {
        key: noise(*shape, seed=number)
        for number, (key, shape) in enumerate(json.loads(PEERS.read_text())[name].items())
    }
    if name == SPEECHBRAIN:
        contents = speechbrain_files(state)
    else:
        contents = {"": {"state_dict": state} if name.startswith("asteroid") else state}
    publish(name, contents)
    ours = official.load(name, progress=False).state_dict()
    mapped = MAPPED[name][1](state)
    assert ours.keys() == mapped.keys()
    assert all(torch.equal(ours[key], values) for key, values in mapped.items())


# what is printed, checked and refused


@pytest.fixture
def unmix(publish):
    """Open-Unmix's networks, whose weights are served."""
    networks, contents = {}, {}
    for target in ("speech", "noise"):
        torch.manual_seed(len(target))
        options = official.RELEASES[f"{OPEN_UNMIX}-{target}"].options | UNMIX
        networks[target] = OpenUnmix(**options).masker.targets[target]
        contents[target] = networks[target].state_dict() | {"stft.window": torch.ones(64)}
    publish(OPEN_UNMIX, contents)
    return networks


def test_all_targets_come_with_their_weights_and_the_wiener_filter(unmix, capsys):
    separator = official.load(OPEN_UNMIX)
    printed = capsys.readouterr().out
    assert "kB in 2 file(s), 2 to fetch" in printed and "licence: MIT" in printed
    assert "No hash" not in printed
    assert separator.source_names == ("speech", "noise")
    assert separator.wiener_iterations == 1 and not separator.training
    for target, network in unmix.items():
        ours = separator.masker.targets[target].state_dict()
        assert all(torch.equal(ours[key], value) for key, value in network.state_dict().items())
    official.load(OPEN_UNMIX)
    assert capsys.readouterr().out == ""  # nothing fetched, nothing said


def test_one_target_alone_takes_the_same_file():
    whole, one = (official.RELEASES[f"openunmix/umxhq{name}"] for name in ("", "-bass"))
    assert one.files == {"bass": whole.files["bass"]}
    assert one.options["targets"] == ["bass"] and one.options["wiener_iterations"] == 0


def test_what_the_publisher_does_not_state_is_said_and_kept(publish, tmp_path, capsys):
    options = official.RELEASES[TORCHAUDIO].options | CONV
    peer = drawn(torchaudio(options))
    release = publish(TORCHAUDIO, {"": peer.state_dict()})
    path = tmp_path / "cache" / release.files[""].path
    official.load(TORCHAUDIO)
    printed = capsys.readouterr().out
    assert "No hash of conv_tasnet_base_libri2mix.pt is stated" in printed
    assert "licence: none stated" in printed
    pinned = path.with_name(path.name + ".sha256")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert pinned.read_text() == f"{digest}  {path.name}\n"

    path.write_bytes(path.read_bytes()[:-1] + b"!")  # damaged here: fetched again
    official.load(TORCHAUDIO, progress=False)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest

    publish(TORCHAUDIO, {"": drawn(peer).state_dict()})  # changed there: not trusted
    path.unlink()
    with pytest.raises(DataError, match=f"expected sha256 {digest}.*delete .*sha256 to trust"):
        official.load(TORCHAUDIO, progress=False)
    pinned.unlink()
    official.load(TORCHAUDIO, progress=False)
    assert not pinned.read_text().startswith(digest)


@pytest.mark.parametrize("old", [False, True])
def test_scores_of_numpy_are_passed_over(publish, tmp_path, old):
    """As files of 2020 hold them: with the names of numpy 1, in PyTorch's format of that time."""
    state = {
        key: torch.zeros(shape) for key, shape in json.loads(PEERS.read_text())[ASTEROID].items()
    }
    content = {"state_dict": state, "score": np.float64(16.2), "scores": [np.int64(3)]}
    path = tmp_path / "model.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    data = path.read_bytes()
    assert b"multiarray" in data
    if old:
        data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    publish(ASTEROID, {"": data})
    ours = official.load(ASTEROID, progress=False)
    assert not any(values.any() for values in ours.state_dict().values())


def test_a_wrong_hash_is_kept_apart(publish, tmp_path):
    release = publish(ASTEROID, {"": {}})
    path = served(tmp_path, release)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match="expected sha256"):
        official.load(ASTEROID, progress=False)
    assert folder_names(tmp_path / "cache") == ["ConvTasNet_WHAM_sepclean.bin.bad"]


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("name", [TORCHAUDIO, ASTEROID])
def test_a_pickle_that_would_run_something_does_not(publish, tmp_path, name):
    trap = Trap(tmp_path / "sprung")
    publish(name, {"": {"state_dict": {"encoder.weight": trap}, "model_args": trap}})
    with pytest.raises(DataError, match="expected the weights of ConvTasNet, got something else"):
        official.load(name, progress=False)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "content",
    [b"no weights", b"", {"something": torch.ones(1)}, {"state_dict": [1]}, 2.5, None],
    ids=["text", "empty", "another state", "a list", "a number", "nothing"],
)
def test_another_content_with_the_right_hash(publish, content):
    publish(ASTEROID, {"": content})
    with pytest.raises(DataError, match="expected the weights of ConvTasNet, got something else"):
        official.load(ASTEROID, progress=False)


def test_weights_of_another_size(publish):
    state = {
        key: torch.ones([size + 1 for size in shape])
        for key, shape in json.loads(PEERS.read_text())[TORCHAUDIO].items()
    }
    publish(TORCHAUDIO, {"": state})
    with pytest.raises(DataError, match="expected the weights of ConvTasNet"):
        official.load(TORCHAUDIO, progress=False)


@pytest.mark.parametrize("name", [TORCHAUDIO, SPEECHBRAIN])
def test_offline_says_how_to_get_it_by_hand(publish, monkeypatch, tmp_path, name):
    release = official.RELEASES[name]
    files = {
        part: file._replace(url=re.sub("^https://[^/]+", "http://127.0.0.1:9", file.url))
        for part, file in release.files.items()
    }
    options = release.options | SMALL[name]
    monkeypatch.setitem(official.RELEASES, name, release._replace(files=files, options=options))
    with pytest.raises(DataError, match="cannot be reached .* put it at .*cache") as error:
        official.load(name, progress=False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["openunmix/none", "openunmix/umxhq-voice", "umxhq"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(InputError, match="openunmix/umxhq-vocals.*speechbrain/sepformer-wham"):
        official.load(name)


# the published sizes


@pytest.mark.parametrize("name", official.RELEASES)
def test_releases_have_the_published_sizes(name):
    release = official.RELEASES[name]
    with torch.device("meta"):
        model = release.system(**release.options)
    sizes = {
        "openunmix/umx": 8_893_348,
        "openunmix/umxl": 28_257_188,
        "openunmix/umxse": 1_583_622,
        "torchaudio/conv": 4_984_881,
        "asteroid/conv": 5_050_545,
        "asteroid/dprnn": 3_651_073,
        "speechbrain/sepformer": 25_679_361,
        "speechbrain/sepformer-wsj03mix": 25_745_153,
    }
    each = sizes[max((known for known in sizes if name.startswith(known)), key=len)]
    count = sum(weights.numel() for weights in model.parameters())
    assert count == each * len(release.options.get("targets", [None]))


@pytest.mark.parametrize("name", KINDS)
def test_every_weight_of_the_peer_has_a_place_of_its_shape(name):
    build, convert = KINDS[name]
    release = official.RELEASES[name]
    with torch.device("meta"):
        theirs, ours = build(release.options), release.system(**release.options)
    found = {key: values.shape for key, values in convert(theirs.state_dict()).items()}
    assert found == {key: values.shape for key, values in ours.state_dict().items()}


def test_files_have_places_of_their_own():
    files = {file for release in official.RELEASES.values() for file in release.files.values()}
    assert len({file.path for file in files}) == len(files)
    for file in files:
        assert file.url.startswith("https://")
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{8}|[0-9a-f]{64}", file.sha256)
    hashes = [file.sha256 for file in files if file.sha256]
    assert len(set(hashes)) == len(hashes)
