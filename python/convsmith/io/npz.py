"""NumPy's .npz, read without trust: no pickle, and nothing allocated that the model lacks."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from convsmith.io.stored import StoredArray, WeightFileError, bytes_of

# NumPy's own limit too; a header of ours takes 128 bytes.
_MAX_HEADER_BYTES = 10_000
# The others of the zip format are unpacked without a bound on what comes out at once.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def write(file: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes what numpy.load reads; the same arrays give the same bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for key, array in arrays.items():
            info = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)


def stored_arrays(file: IO[bytes]) -> dict[str, StoredArray]:
    """The arrays of an archive, by key. Raises WeightFileError for anything out of order."""
    try:
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
    except Exception as error:  # a damaged archive raises almost anything
        raise WeightFileError(f"not a readable .npz archive: {error}") from error
    found: dict[str, StoredArray] = {}
    for info in members:
        key = info.filename.removesuffix(".npy")
        if key == info.filename:
            raise WeightFileError(f"member {info.filename!r}: not an array")
        if key in found:
            raise WeightFileError(f"member {info.filename!r}: there twice")
        found[key] = _stored(archive, info)
    return found


def _stored(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> StoredArray:
    if info.compress_type not in _COMPRESSIONS:
        raise WeightFileError(
            f"member {info.filename!r}: got zip compression {info.compress_type}, wanted stored "
            "(0) or deflated (8)"
        )
    try:
        with archive.open(info) as member:
            shape, fortran_order, dtype = _header(member)
            start = member.tell()
    except Exception as error:
        raise WeightFileError(f"member {info.filename!r}: {error}") from error
    size = bytes_of(shape, dtype)
    if dtype.kind not in "fiub":
        raise WeightFileError(f"member {info.filename!r}: got dtype {dtype}, wanted numbers")
    if any(n < 0 for n in shape) or start + size != info.file_size:
        raise WeightFileError(
            f"member {info.filename!r}: got {info.file_size} bytes for shape {shape} of {dtype}, "
            f"wanted {start + size}"
        )

    def read() -> NDArray[Any]:
        try:
            with archive.open(info) as member:
                member.read(start)
                # No more than was announced; with the last byte the checksum is compared.
                data = member.read(size)
            if len(data) != size:
                raise WeightFileError(f"got {len(data)} bytes, wanted {size}")
            array = np.frombuffer(data, dtype)
        except Exception as error:
            raise WeightFileError(f"member {info.filename!r}: {error}") from error
        return array.reshape(shape, order="F" if fortran_order else "C")

    return StoredArray(shape, dtype, read)


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise WeightFileError(f"got .npy version {version}, wanted (1, 0) or (2, 0)")
    length = member.read(2 if version == (1, 0) else 4)
    header_bytes = int.from_bytes(length, "little")
    if header_bytes > _MAX_HEADER_BYTES:
        raise WeightFileError(
            f"got a header of {header_bytes} bytes, wanted at most {_MAX_HEADER_BYTES}"
        )
    # NumPy reads as much as the length says, so it is given no more than that.
    header = io.BytesIO(length + member.read(header_bytes))
    if version == (1, 0):
        return npy.read_array_header_1_0(header)
    return npy.read_array_header_2_0(header)
