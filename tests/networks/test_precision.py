import pytest
import torch

from orthodx.networks.precision import autocast, native_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize(("amx", "avx512"), [(False, False), (True, False), (False, True)])
def test_bf16_is_used_only_where_hardware_has_it(monkeypatch, amx, avx512):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert native_bf16(CPU) is (amx or avx512)
    with autocast(CPU):
        assert torch.is_autocast_enabled("cpu") is (amx or avx512)


def test_other_devices_stay_in_full_precision():
    assert not native_bf16(torch.device("mps"))
