"""Published weights, from a server in this process that has made-up ones.

Peers draw weights, their files are served as the publisher lays them out, and our systems answer as
the peers do. Asteroid, SpeechBrain and Demucs are in the optional group ``peers``, for the denoiser
and the Demucs of 2021 see their tests; where they are not installed, a list of their weights stands
in.
"""

import fractions
import hashlib
import json
import os
import pathlib
import re
import sys
import types

import numpy as np
import pytest
import torch
from peers import noise, speechbrain_sepformer, through
from serving import serve

import lib  # noqa: F401 - lets torchaudio load
from lib.errors import DataError, InputError
from lib.models import (
    DPRNN,
    Bag,
    ConvTasNet,
    Demucs,
    Denoiser,
    HTDemucs,
    HybridDemucs,
    OpenUnmix,
    Separator,
    SepFormer,
    official,
)
from lib.models.official.asteroid import from_asteroid
from lib.models.official.demucs import from_demucs, from_demucs_v2
from lib.models.official.denoiser import from_denoiser
from lib.models.official.speechbrain import from_speechbrain
from lib.models.official.torchaudio import from_torchaudio

PEERS = pathlib.Path(__file__).parent / "golden" / "official_peers.json"
TORCHAUDIO = "torchaudio/conv-tasnet-libri2mix"
ASTEROID = "asteroid/conv-tasnet-wham-sepclean"
DPRNN_NAME = "asteroid/dprnn-wham-sepclean"
SPEECHBRAIN = "speechbrain/sepformer-wsj02mix"
OPEN_UNMIX = "openunmix/umxse"
DENOISER = "denoiser/dns48"
LIVE = "denoiser/dns48-live"
DEMUCS = "demucs/demucs"
HYBRID = "demucs/hdemucs_mmi"
TRANSFORMER = "demucs/htdemucs"
BAG = "demucs/htdemucs_ft"
TORCHAUDIO_HYBRID = "torchaudio/hdemucs-musdb"

UNMIX = {"n_fft": 64, "hop_length": 32, "hidden": 8}
CONV = {"filters": 24, "bottleneck": 12, "hidden": 20, "skip": 12, "blocks": 3, "repeats": 2}
RNN = {"filters": 16, "channels": 12, "hidden": 9, "blocks": 2, "chunk": 10}
SEP = {"filters": 16, "channels": 16, "chunk": 10, "layers": 2, "heads": 4, "hidden": 24}
NOISE = {"hidden": 4, "depth": 3}
TIME = {"filters": 4, "depth": 3}
MEET = {"filters": 4, "depth": 5, "n_fft": 1024, "compression": 1}
CROSS = {"filters": 4, "depth": 2, "n_fft": 512, "compression": 2, "bottleneck": 16, "segment": 0.1}
SMALL = {OPEN_UNMIX: UNMIX, TORCHAUDIO: CONV, ASTEROID: CONV, DPRNN_NAME: RNN, SPEECHBRAIN: SEP}
SMALL |= {DENOISER: NOISE, LIVE: NOISE, DEMUCS: TIME, HYBRID: MEET, TRANSFORMER: CROSS}
SMALL |= {TORCHAUDIO_HYBRID: MEET, BAG: {"members": [{"system": "HTDemucs", "config": CROSS}] * 4}}


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


def denoiser(options):
    config = Denoiser(**options).config
    names = ("hidden", "depth", "stride", "causal")
    return pytest.importorskip("denoiser.demucs").Demucs(
        resample=config["resampling"], **{name: config[name] for name in names}
    )


def demucs_v2(options):
    config = Demucs(**options).config
    return pytest.importorskip("demucs.model").Demucs(
        list(config["sources"]), channels=config["filters"], depth=config["depth"]
    )


def hybrid_sizes(config):
    """What the authors' classes and torchaudio's call them."""
    return {
        "sources": list(config["sources"]),
        "channels": config["filters"],
        "depth": config["depth"],
        "nfft": config["n_fft"],
        "dconv_comp": config["compression"],
    }


def hybrid(options):
    peer = pytest.importorskip("demucs.hdemucs").HDemucs
    return peer(**hybrid_sizes(HybridDemucs(**options).config))


def torchaudio_hybrid(options):
    from torchaudio.models import HDemucs

    return HDemucs(**hybrid_sizes(HybridDemucs(**options).config))


def transformer(options):
    config = HTDemucs(**options).config
    return pytest.importorskip("demucs.htdemucs").HTDemucs(
        **hybrid_sizes(config),
        dconv_mode=3,
        bottom_channels=config["bottleneck"],
        segment=fractions.Fraction(config["segment"]).limit_denominator(10),
    )


# of each publisher and system: a name, the peer, what names its weights as ours
MAPPED = {
    TORCHAUDIO: (torchaudio, from_torchaudio),
    ASTEROID: (asteroid, from_asteroid),
    DPRNN_NAME: (asteroid_dprnn, from_asteroid),
    SPEECHBRAIN: (speechbrain, from_speechbrain),
    DENOISER: (denoiser, from_denoiser),
    DEMUCS: (demucs_v2, from_demucs_v2),
    HYBRID: (hybrid, from_demucs),
    TRANSFORMER: (transformer, from_demucs),
    TORCHAUDIO_HYBRID: (torchaudio_hybrid, from_demucs),
}
KINDS = {
    name: MAPPED[max(MAPPED, key=lambda known: len(os.path.commonprefix([known, name])))]
    for name in official.RELEASES
    if not name.startswith("openunmix") and name != BAG
}


def unused(weights, ours):
    """What a peer has beyond what it uses: torchaudio's one normalisation."""
    names = weights.keys() - ours.keys()
    assert all(re.fullmatch(r"time_encoder\.\d\.norm1\.(weight|bias)", name) for name in names)
    return names


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
        key = {"asteroid": "state_dict", "demucs/h": "state"}.get(name[:8])
        contents = {"": {key: state} if key else state}
    publish(name, contents)
    ours = official.load(name, progress=False).state_dict()
    mapped = MAPPED[name][1](state)
    assert ours.keys() == mapped.keys() - unused(mapped, ours)
    assert all(torch.equal(values, mapped[key]) for key, values in ours.items())


@pytest.mark.parametrize("name, apart", [(DENOISER, False), (LIVE, True)])
@torch.no_grad()
def test_the_denoisers_weights_answer_as_there_unless_they_are_to_stream(publish, name, apart):
    release = publish(name, {"": {}})
    peer = drawn(denoiser(release.options))
    publish(name, {"": peer.state_dict()})
    ours, mixture = Denoiser.from_pretrained(name), noise(2, 1, 4000)
    theirs, found = peer(mixture), ours(mixture)[:, 0]
    assert ours.is_causal == apart
    if not apart:
        assert_same(found, theirs)
    else:
        assert not torch.allclose(found, theirs, rtol=0.1)


@torch.no_grad()
def test_torchaudios_hybrid_answers_as_there(publish):
    release = publish(TORCHAUDIO_HYBRID, {"": {}})
    peer = drawn(torchaudio_hybrid(release.options))
    publish(TORCHAUDIO_HYBRID, {"": peer.state_dict()})
    mixture = noise(1, 2, 9000)
    assert_same(HybridDemucs.from_pretrained(TORCHAUDIO_HYBRID)(mixture), peer(mixture))


def demucs_file(peer):
    """As its authors write it: half precision, and the class beside its arguments."""
    return {
        "klass": type(peer),
        "args": (),
        "kwargs": {"sources": ["drums"], "segment": fractions.Fraction(39, 5)},
        "state": {key: values.half() for key, values in peer.state_dict().items()},
        "training_args": {"epochs": 360},
    }


@pytest.mark.parametrize("name, build", [(HYBRID, hybrid), (TRANSFORMER, transformer)])
@torch.no_grad()
def test_demucs_weights_answer_as_there(publish, name, build):
    release = publish(name, {"": {}})
    peer = drawn(build(release.options)).half().float()
    publish(name, {"": demucs_file(peer)})
    mixture = noise(1, 2, 4000)
    assert_same(Separator.from_pretrained(name)(mixture), peer(mixture))


@torch.no_grad()
def test_of_a_bag_each_stem_is_that_of_its_member(publish):
    """By the authors' blend of one-hot weights, where they can be imported."""
    peers = [drawn(transformer(CROSS)).half().float() for _ in range(4)]
    for number, peer in enumerate(peers):
        for weights in peer.parameters():
            weights.mul_(1 + 0.03 * number)
    stems = ("drums", "bass", "other", "vocals")
    files = {stem: demucs_file(peer) for stem, peer in zip(stems, peers, strict=True)}
    publish(BAG, files)
    rounded = [peer.half().float() for peer in peers]
    apply = pytest.importorskip("demucs.apply")
    weights = official.RELEASES[BAG].options["weights"]
    mixture = noise(1, 2, 4410)  # as long as the segment, around which they put silence
    theirs = apply.apply_model(apply.BagOfModels(rounded, weights), mixture, shifts=0, split=False)
    ours = Separator.from_pretrained(BAG)
    assert isinstance(ours, Bag) and ours.source_names == stems
    assert_same(ours(mixture), theirs)


@torch.no_grad()
def test_a_bag_without_its_peer(publish, monkeypatch):
    """What files hold of the authors' class and its arguments is neither built nor read."""
    module = types.ModuleType("demucs.htdemucs")
    module.HTDemucs = type("HTDemucs", (), {"__module__": "demucs.htdemucs"})
    monkeypatch.setitem(sys.modules, "demucs", types.ModuleType("demucs"))
    monkeypatch.setitem(sys.modules, "demucs.htdemucs", module)
    shapes, files = json.loads(PEERS.read_text())[TRANSFORMER], {}
    for seed, stem in enumerate(("drums", "bass", "other", "vocals")):
        state = {key: noise(*shape, seed=seed).half() for key, shape in shapes.items()}
        kwargs = {"segment": fractions.Fraction(39, 5)}
        files[stem] = {"klass": module.HTDemucs, "kwargs": kwargs, "state": state}
    publish(BAG, files)
    bag = official.load(BAG, progress=False)
    for number, stem in enumerate(files):
        ours = bag.members[number].state_dict()
        mapped = from_demucs(files[stem]["state"])
        assert all(torch.equal(values, mapped[key].float()) for key, values in ours.items())
    mixture = noise(1, 2, 900)
    estimates = torch.stack([member(mixture) for member in bag.members])
    for stem in range(4):
        torch.testing.assert_close(bag(mixture)[:, stem], estimates[stem, :, stem])


def test_the_licence_of_the_denoiser_is_shown_before_anything_is_fetched(publish, capsys):
    release = publish(DENOISER, {"": {}})
    files = {"": release.files[""]._replace(url="http://127.0.0.1:9/dns48.th")}
    official.RELEASES[DENOISER] = release._replace(files=files)
    with pytest.raises(DataError, match="cannot be reached"):
        official.load(DENOISER)
    assert "licence: CC BY-NC 4.0 (no commercial use)" in capsys.readouterr().out


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
        "demucs/htdemucs": 41_984_456,
        "demucs/htdemucs_ft": 4 * 41_984_456,
        "demucs/hdemucs_mmi": 83_637_832,
        "demucs/demucs": 265_679_496,
        "demucs/demucs48_hq": 149_462_504,
        "torchaudio/hdemucs": 83_637_832,
        "denoiser/dns48": 18_867_937,
        "denoiser/dns64": 33_533_569,
        "denoiser/master64": 33_533_569,
        "denoiser/valentini-nc": 60_813_953,
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
    places = {key: values.shape for key, values in ours.state_dict().items()}
    for name in unused(found, places):
        del found[name]
    assert found == places


def test_files_have_places_of_their_own():
    files = {file for release in official.RELEASES.values() for file in release.files.values()}
    assert len({file.path for file in files}) == len(files)
    for file in files:
        assert file.url.startswith("https://")
        assert file.sha256 is None or re.fullmatch(
            "[0-9a-f]{8}|[0-9a-f]{16}|[0-9a-f]{64}", file.sha256
        )
    hashes = [file.sha256 for file in files if file.sha256]
    assert len(set(hashes)) == len(hashes)
