"""A pipe among masks is waited for by no one."""

import os
import sys

import pytest

from orthodx.studies.mask_files import files_by_name


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_a_pipe_is_no_mask(segmented):
    os.mkfifo(segmented / "masks/e.nii.gz")
    assert set(files_by_name(segmented / "masks")) == set("abcd")
