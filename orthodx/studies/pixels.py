"""Stored values of a DICOM file: read where they lie, or by pydicom's decoders, and held to their own header."""

from __future__ import annotations

import math
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from orthodx.errors import StudyError
from orthodx.studies.frames import Frame, PlainPixels


def decode(frame: Frame, name: str) -> np.ndarray:
    """Stored values of a frame's file, (rows, columns) or (frames, rows, columns), sign-extended, unscaled."""
    file = frame.file
    try:
        with file.open() as stream:
            if frame.plain:
                return _plain(stream, frame.plain)
            ds = pydicom.dcmread(stream, force=True)
            if "TransferSyntaxUID" not in ds.file_meta:
                implicit = ds.original_encoding[0]
                ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            if int(ds.HighBit) != int(ds.BitsStored) - 1:
                raise ValueError("HighBit is not BitsStored - 1")
            _check_length(ds)
            return _sign_extended(ds.pixel_array, int(ds.BitsStored))
    except Exception as error:  # decoders raise anything at all on damaged pixel data
        reason = f"{name}: {file.name} cannot be decoded ({type(error).__name__})"
        raise StudyError(reason, hint="export it again") from error


def _plain(stream: BinaryIO, plain: PlainPixels) -> np.ndarray:
    stream.seek(plain.offset)
    count = math.prod(plain.shape)
    raw = stream.read(count * np.dtype(plain.dtype).itemsize)
    pixels = np.frombuffer(raw, plain.dtype, count).reshape(plain.shape)  # raises where the file is cut off
    return _sign_extended(pixels if plain.shape[0] > 1 else pixels[0], plain.stored_bits)


def _check_length(ds: Dataset) -> None:
    """pydicom takes the first part of too much pixel data; here it is a damaged file."""
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        return
    bits = int(ds.Rows) * int(ds.Columns) * int(ds.get("NumberOfFrames") or 1) * int(ds.BitsAllocated)
    if not 0 <= len(ds.PixelData) - bits // 8 <= 1:
        raise ValueError("pixel data of another length")


def _sign_extended(pixels: np.ndarray, stored: int) -> np.ndarray:
    """Bits above HighBit are no part of a value (PS3.5 8.1.1): cleared, or filled with the sign."""
    spare = pixels.dtype.itemsize * 8 - stored
    if pixels.dtype.kind not in "iu" or spare == 0:
        return pixels
    return (pixels << spare) >> spare
