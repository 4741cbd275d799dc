"""The signal inside structures, and the head that reads it beside its evidence maps."""

import numpy as np
import pytest
import torch
from torch import nn

from orthodx.errors import UsageError
from orthodx.joints import KNEE
from orthodx.networks import Wanted
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.heads.anatomy import AnatomyConfig, AnatomyHead
from orthodx.networks.heads.structure_signal import structure_signal

MENISCUS = (slice(2, 6), slice(20, 32), slice(16, 48))
TINY = OrthoConfig(channels=(32, 16, 16, 16), time_channels=16)


def meniscus(line=None, level=0.6):
    """A dark block (-0.8) in bright surroundings; a line of rows may be bright."""
    image = np.full((8, 64, 64), 0.7, np.float32)
    mask = np.zeros(image.shape, bool)
    mask[MENISCUS] = True
    image[mask] = -0.8
    if line is not None:
        image[3:5, line, 22:40] = level
    return mask, image


def test_a_tear_is_a_bright_line_in_a_dark_structure():
    median, high, brightest, rind = structure_signal(*meniscus(), 0.5)
    assert median == pytest.approx(-0.8, abs=0.01)
    assert max(high, brightest) < 0.2
    torn = structure_signal(*meniscus(slice(25, 27)), 0.5)
    assert torn[0] == pytest.approx(-0.8, abs=0.01)
    assert torn[1] > high + 0.5
    assert torn[2] > brightest + 0.8
    surface = structure_signal(*meniscus(slice(21, 23)), 0.5)
    assert surface[3] > rind + 0.1  # at the surface the rind is bright as well


def test_a_tear_that_the_mask_leaves_out_is_found_all_the_same():
    mask, image = meniscus(slice(25, 27))
    without = mask & (image < 0)
    np.testing.assert_allclose(
        structure_signal(without, image, 0.5)[1:3], structure_signal(mask, image, 0.5)[1:3], atol=0.1
    )


def test_a_bright_structure_is_bright_all_over():
    mask, image = meniscus()
    image[mask] = 0.3
    assert structure_signal(mask, image, 0.5)[0] == pytest.approx(0.3, abs=0.02)


def test_specks_count_for_nothing_and_traces_are_unknown():
    mask, image = meniscus()
    speck = mask.copy()
    speck[7, 2:4, 2:4] = True
    np.testing.assert_array_equal(structure_signal(mask, image, 0.5), structure_signal(speck, image, 0.5))
    trace = np.zeros_like(mask)
    assert np.isnan(structure_signal(trace, image, 0.5)).all()
    trace[0, :3, :3] = True
    assert np.isnan(structure_signal(trace, image, 0.5)).all()


@pytest.fixture
def head():
    torch.manual_seed(0)
    encoder = OrthoEncoder(TINY)
    return encoder, AnatomyHead(AnatomyHead.config_for(encoder, Wanted.of(KNEE))).eval()


class Says(nn.Module):
    """Segments what is dark, as the structure of one value."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, features, image):
        logits = torch.zeros(len(image), 12, *image.shape[2:])
        logits[:, 0], logits[:, self.value] = 0.5, (image[:, 0] < 0).float()
        return logits


def read(encoder, head, image):
    x = torch.from_numpy(image)[None, None]
    with torch.no_grad():
        return head.summary(encoder.features(x, blocks=head.blocks), x)


def test_signals_stand_with_the_label_whose_structure_it_is(head):
    encoder, head = head
    head.segment = Says(8)
    label = list(KNEE.codes).index("MM")
    own = head.evidence()[label]
    torn, whole = (read(encoder, head, meniscus(line)[1])[0] for line in (slice(25, 27), None))
    assert torn.shape == (head.width,)
    assert torn[own][-2] > whole[own][-2] + 0.1
    known = ~torn.isnan().view(8, -1)[:, -4:].any(1)
    assert known.tolist() == [i == label for i in range(8)]


def test_what_is_unknown_does_not_move_the_answer(head):
    encoder, head = head
    head.segment = Says(8)
    summaries = torch.cat([read(encoder, head, meniscus(slice(20 + i, 22 + i))[1]) for i in range(5)])
    summaries[0, head.evidence()[2]] = torch.nan
    head.fit_scale(summaries)
    vector = head.vector(summaries)
    assert not vector.isnan().any()
    assert (vector[0, head.evidence()[2]] == 0).all()
    known = vector[1:, head.evidence()[2]]
    torch.testing.assert_close(known.mean(0), torch.zeros_like(known[0]), atol=1e-4, rtol=0)
    assert (vector[:, head.evidence()[4]][:, -4:] == 0).all()  # the MCL is no structure of ours


def test_every_structure_is_one_of_the_knee(head):
    encoder, made = head
    assert made.config.structures == (10, 11, 8, 9, 0, 0, 0, 0)
    assert made.config.classes == len(KNEE.structures) + 1
    with pytest.raises(ValueError, match="3 labels need a structure each"):
        AnatomyConfig(labels=3)
    with pytest.raises(UsageError, match="no label is an injury of a structure"):
        AnatomyHead.config_for(encoder, Wanted.of(KNEE, ["EFFU"]))
