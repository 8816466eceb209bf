"""Bags: weighted means of systems, as a system that checkpoints can hold."""

import pytest
import torch
from peers import noise

from lib.errors import InputError
from lib.models import Bag, Demucs, HybridDemucs, Separator

SIZES = {"sources": ["one", "two"], "channels": 1, "filters": 4, "depth": 4, "n_fft": 256}
MEMBER = {"system": "HybridDemucs", "config": SIZES | {"norm_starts": 3, "recurrent_starts": 4}}
OTHER = {
    "system": "Demucs",
    "config": {"sources": ["one", "two"], "channels": 1, "filters": 4, "depth": 2},
}


def test_members_are_blended_source_by_source():
    torch.manual_seed(0)
    bag = Bag([MEMBER, OTHER], [[1, 0.5], [0, 1.5]]).eval()
    assert [type(member) for member in bag.members] == [HybridDemucs, Demucs]
    mixture = noise(3, 1, 700)
    with torch.no_grad():
        first, second = (member(mixture) for member in bag.members)
        expected = torch.stack([first[:, 0], 0.25 * first[:, 1] + 0.75 * second[:, 1]], 1)
        torch.testing.assert_close(bag(mixture), expected)
        plain = Bag([MEMBER, OTHER]).eval()
        plain.load_state_dict(bag.state_dict())
        torch.testing.assert_close(plain(mixture), (first + second) / 2)


def test_a_checkpoint_of_a_bag(tmp_path):
    torch.manual_seed(0)
    bag, mixture = Bag([MEMBER, OTHER], [[1, 0], [0, 1]]).eval(), noise(1, 1, 700)
    bag.save(tmp_path / "bag")
    again = Separator.from_pretrained(tmp_path / "bag")
    assert isinstance(again, Bag) and again.source_names == ("one", "two")
    with torch.no_grad():
        assert torch.equal(again(mixture), bag(mixture))


@pytest.mark.parametrize(
    "members, weights, words",
    [
        ([], None, "members: expected at least one, got none"),
        ([{"system": "Umx", "config": {}}], None, "members: expected systems, got 'Umx'"),
        ([{"system": "card", "config": {}}], None, "members: expected systems, got 'card'"),
        (
            [MEMBER, {"system": "HybridDemucs", "config": SIZES | {"sources": ["one", "2"]}}],
            None,
            "members: expected the same source_names",
        ),
        (
            [MEMBER, {"system": "HybridDemucs", "config": SIZES | {"sample_rate": 8000}}],
            None,
            "members: expected the same sample_rate",
        ),
        ([MEMBER], [[1, 1, 1]], "weights: expected 2 numbers for each of 1 members"),
        ([MEMBER, MEMBER], [[1, 1]], "weights: expected 2 numbers for each of 2 members"),
        ([MEMBER, MEMBER], [[1, 0], [1, 0]], "for each source one above, got"),
        ([MEMBER, MEMBER], [[2, 1], [-1, 1]], "none below 0"),
    ],
)
def test_one_clear_error(members, weights, words):
    with pytest.raises(InputError, match=words), torch.device("meta"):
        Bag(members, weights)
