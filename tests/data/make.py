#!/usr/bin/env python3
"""Makes the synthetic files of images/ and writes what astropy reads from every file there into images/truth.json.

    pip install astropy==8.0.2 numpy==2.4.6
    python make.py            # make and write
    python make.py --check    # touch nothing; fail if a file or a value would change

Source and licence of a file are kept from the truth.json that is there, so a new file is added by copying it into images/
and giving it an entry with these two. What the fields mean is said in README.md.
"""

import hashlib
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.base import _NonstandardHDU

IMAGES = Path(__file__).resolve().parent / "images"
TRUTH = IMAGES / "truth.json"
SHAPE = (5, 7)


# --- the synthetic files ------------------------------------------------------------------------------------------


def ramp(start, step, dtype):
    """start, start + step, ... in C order: every pixel has a value of its own, and every value is exact in f32."""
    return (start + step * np.arange(SHAPE[0] * SHAPE[1])).reshape(SHAPE).astype(dtype)


def flags(shift):
    """Every third pixel has one bit, from 1 to 64, in turn."""
    index = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    return np.where(index % 3 == 0, 1 << ((index + shift) % 7), 0).astype("uint16")


def mef_order():
    """Two groups of SCI, VAR, DQ that only their order tells apart: no extension has an EXTVER."""
    hdus = [fits.PrimaryHDU()]
    for group in range(2):
        sci = fits.ImageHDU(ramp(100 * (group + 1), 0.5, "float32"), name="SCI")
        sci.header["BUNIT"] = "adu"
        var = fits.ImageHDU(ramp(group + 1, 0.25, "float32"), name="VAR")
        dq = fits.ImageHDU(flags(group), name="DQ")
        hdus += [sci, var, dq]
    return fits.HDUList(hdus)


def primary_plus_dq():
    """An image in the primary and its mask in the only extension."""
    primary = fits.PrimaryHDU(ramp(1000, 3, "int16"))
    primary.header["BUNIT"] = "adu"
    return fits.HDUList([primary, fits.ImageHDU(flags(3), name="DQ")])


SYNTHETIC = {"mef_order.fits": mef_order, "primary_plus_dq.fits": primary_plus_dq}


def file_bytes(hdulist):
    for hdu in hdulist:
        # astropy may write EXTVER = 1 on its own account; its absence is the point here.
        hdu.header.remove("EXTVER", ignore_missing=True)
    path = IMAGES / ".making.fits"
    try:
        hdulist.writeto(path, overwrite=True)
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)


# --- the truth ----------------------------------------------------------------------------------------------------


def canonical_sha256(array):
    """sha256 of the array in C order, little-endian, every NaN as the quiet NaN without sign and payload."""
    array = np.array(array, dtype=array.dtype.newbyteorder("<"), order="C")
    if array.dtype.kind == "f":
        array[np.isnan(array)] = np.nan
    return hashlib.sha256(array.tobytes()).hexdigest()


def physical(raw, header):
    """The values as float64: BZERO + BSCALE * stored in float64, BLANK as NaN. None for 64-bit integers beyond 2^53."""
    if raw.dtype.kind in "iu" and raw.size and max(abs(int(raw.min())), abs(int(raw.max()))) > 2**53:
        return None
    values = raw.astype("float64") * header.get("BSCALE", 1.0) + header.get("BZERO", 0.0)
    if raw.dtype.kind in "iu" and "BLANK" in header:
        values[raw == header["BLANK"]] = np.nan
    return values


def kind(hdu):
    if isinstance(hdu, _NonstandardHDU):
        return "nonstandard"
    if isinstance(hdu, fits.GroupsHDU):
        return "groups"
    return "image" if hdu.is_image else "table"


def describe(index, scaled, stored):
    """The truth of one HDU, from the list opened with scaling and the one without."""
    hdu = scaled[index]
    entry = {"index": index}
    if hdu.header.get("EXTNAME") is not None:
        entry["name"] = hdu.header["EXTNAME"]
    entry["kind"] = kind(hdu)
    if isinstance(hdu, fits.CompImageHDU):
        entry["compressed"] = hdu.compression_type
    if entry["kind"] not in ("image", "groups"):
        return entry
    blank = hdu.header.get("BLANK")  # astropy drops the card once the data is read
    data = hdu.data
    if entry["kind"] == "groups" and data is not None:
        data = data.data
    if data is None:
        entry["shape"] = None
        return entry
    entry["dtype"] = data.dtype.name
    entry["shape"] = list(data.shape)
    if blank == 0 and hdu.header["BITPIX"] > 0:
        return entry  # astropy ignores BLANK = 0, we do not: no hash of its can judge ours
    entry["sha256_canon"] = canonical_sha256(data)
    if entry["kind"] == "image" and "compressed" not in entry:
        values = physical(stored[index].data, stored[index].header)
        if values is not None:
            entry["phys64_sha256_canon"] = canonical_sha256(values)
    return entry


def hdus(path):
    options = {"memmap": False, "lazy_load_hdus": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # faults of the files are why they are here
        with fits.open(path, **options) as scaled, fits.open(path, do_not_scale_image_data=True, **options) as stored:
            return [describe(index, scaled, stored) for index in range(len(scaled))]


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    wrong = []

    def put(path, content):
        if not check:
            path.write_bytes(content)
        elif not path.exists() or path.read_bytes() != content:
            wrong.append(path.name)

    known = json.loads(TRUTH.read_text())
    for name, make in SYNTHETIC.items():
        put(IMAGES / name, file_bytes(make()))
        known[name] = {"source": "make.py", "licence": "that of this crate"}

    names = sorted(path.name for path in IMAGES.iterdir() if ".fits" in path.name)
    if set(names) != set(known):
        sys.exit(f"files and truth.json differ: {sorted(set(names) ^ set(known))}")
    truth = {
        name: {"source": known[name]["source"], "licence": known[name]["licence"], "hdus": hdus(IMAGES / name)}
        for name in names
    }
    put(TRUTH, (json.dumps(truth, indent=1) + "\n").encode())
    if wrong:
        sys.exit(f"would change: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
