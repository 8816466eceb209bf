"""The sample pack, the mixtures made from it, and real corpora with the same interface.

The pack (speech, noises, songs, rooms) needs no network: its bytes lie in ``lib/data/pack`` beside
a manifest with source, licence, split and hash of each clip. The environment variable
``UNMIX_PACK`` may name another folder of the same form, for example a larger one made by
``data_scripts/make_pack.py --full``.
"""

from lib.data.catalogue import card, clips, load, manifest, pack_folder, verify
from lib.data.corpora import MUSDB18, WHAM, LibriMix, VoiceBankDemand
from lib.data.items import Item
from lib.data.mixtures import NoisySpeech, Speakers, ThreeSpeakers, TwoSpeakers
from lib.data.noisy_clips import NoisyClips
from lib.data.signals import Song, noise, noise_kinds, room, song, speech
from lib.data.songs import Songs

# data sets by the name that recipes use
DATASETS = {
    "two_speakers": TwoSpeakers,
    "three_speakers": ThreeSpeakers,
    "noisy_speech": NoisySpeech,
    "noisy_clips": NoisyClips,
    "songs": Songs,
    "librimix": LibriMix,
    "wham": WHAM,
    "voicebank_demand": VoiceBankDemand,
    "musdb18": MUSDB18,
}

__all__ = [
    "DATASETS",
    "Item",
    "LibriMix",
    "MUSDB18",
    "NoisyClips",
    "NoisySpeech",
    "Song",
    "Songs",
    "Speakers",
    "ThreeSpeakers",
    "TwoSpeakers",
    "VoiceBankDemand",
    "WHAM",
    "card",
    "clips",
    "load",
    "manifest",
    "noise",
    "noise_kinds",
    "pack_folder",
    "room",
    "song",
    "speech",
    "verify",
]
