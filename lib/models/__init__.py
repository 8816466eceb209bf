"""Systems: one file each, all of them a :class:`Separator`."""

from lib.models.bag import Bag
from lib.models.band_split_rnn import BandSplitRNN
from lib.models.band_split_roformer import BandSplitRoFormer
from lib.models.base import (
    EncoderMaskerDecoder,
    Separator,
    SpectrogramSeparator,
    TimeDomainSeparator,
)
from lib.models.cdae import CDAE
from lib.models.checkpoint import card, shipped
from lib.models.chimera import Chimera
from lib.models.conditioned_unet import ConditionedUNet
from lib.models.conv_tasnet import ConvTasNet
from lib.models.d3net import D3Net
from lib.models.danet import DANet
from lib.models.dccrn import DCCRN
from lib.models.dcunet import DCUNet
from lib.models.deep_clustering import DeepClustering
from lib.models.deep_karaoke import DeepKaraoke
from lib.models.deep_rnn import DeepRNN
from lib.models.demucs import Demucs
from lib.models.denoiser import Denoiser
from lib.models.dprnn import DPRNN
from lib.models.dptnet import DPTNet
from lib.models.ht_demucs import HTDemucs
from lib.models.hybrid_demucs import HybridDemucs
from lib.models.mdx_net import MDXNet
from lib.models.open_unmix import OpenUnmix
from lib.models.sepformer import SepFormer
from lib.models.spleeter import Spleeter
from lib.models.sudo_rm_rf import SuDoRMRF
from lib.models.tasnet import TasNet
from lib.models.unet import UNet
from lib.models.upit import UPIT
from lib.models.wave_unet import WaveUNet

__all__ = [
    "Bag",
    "BandSplitRNN",
    "BandSplitRoFormer",
    "CDAE",
    "Chimera",
    "ConditionedUNet",
    "ConvTasNet",
    "D3Net",
    "DANet",
    "DCCRN",
    "DCUNet",
    "DPRNN",
    "DPTNet",
    "UPIT",
    "DeepClustering",
    "DeepKaraoke",
    "DeepRNN",
    "Demucs",
    "Denoiser",
    "EncoderMaskerDecoder",
    "HTDemucs",
    "HybridDemucs",
    "MDXNet",
    "OpenUnmix",
    "SepFormer",
    "Separator",
    "SpectrogramSeparator",
    "Spleeter",
    "SuDoRMRF",
    "TasNet",
    "TimeDomainSeparator",
    "UNet",
    "WaveUNet",
    "card",
    "shipped",
]
