"""Self-alignment: the teacher sees the same image with the same noise, but less of it."""

import torch

from orthodx.networks.diffusion import T, cosine_abar, q_sample
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.training.denoising.objective import AHEAD, Align


class Recorder(torch.nn.Module):
    """A teacher that remembers the images and timesteps it was shown."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def features(self, x, t, blocks):
        self.x, self.t = x, t
        return self.encoder.features(x, t, blocks=blocks)


def seen(t, ahead):
    """The teacher after one loss at timesteps `t`, with `ahead` drawn beside them; the image; the noise."""
    torch.manual_seed(0)
    encoder = OrthoEncoder(OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))
    x0, noise = torch.rand(len(t), 1, 4, 16, 16) * 2 - 1, torch.randn(len(t), 1, 4, 16, 16)
    teacher = Recorder(encoder)
    Align(encoder, teacher, weight=1.0)(x0, [(torch.tensor(t), noise), (torch.tensor(ahead), torch.randn_like(noise))])
    return teacher, x0, noise


def test_the_teacher_sees_up_to_so_much_less_noise():
    teacher, _, _ = seen([600, 600, 600, 999], [0, T // 2, T - 1, T - 1])
    lead = torch.tensor([600, 600, 600, 999]) - teacher.t
    assert lead[0] == 0
    assert abs(int(lead[1]) - AHEAD / 2) <= 1
    assert all(abs(int(one) - AHEAD) <= 1 for one in lead[2:])


def test_no_image_is_cleaner_than_clean():
    teacher, _, _ = seen([5, 50, 0], [T - 1, T - 1, T - 1])
    assert teacher.t.tolist() == [0, 0, 0]


def test_what_the_teacher_sees_is_the_image_with_the_same_noise():
    teacher, x0, noise = seen([600, 300], [T - 1, T // 3])
    abar = cosine_abar()
    torch.testing.assert_close(teacher.x, q_sample(x0, teacher.t, noise, abar))
    left = (abar[teacher.t] > abar[torch.tensor([600, 300])]).tolist()
    assert left == [True, True]
