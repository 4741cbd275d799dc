"""Fixtures of the command line's tests."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Toy networks are quicker without threads, which wait for each other where the processor has other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
