"""Makes small tile-compressed FITS files with astropy, one feature or two per HDU, and truth.json beside them.

Usage: make_compressed.py FOLDER [--all]

Without --all the set is kept under 200 kB: most pairs of codec and type, each option once.

truth.json: {file: {HDU number: {shape, dtype, sha256, what}}}. The hash is of the array as astropy reads it (scaled,
numpy order, little-endian; each NaN as the quiet NaN 0x7fc00000 or 0x7ff8000000000000). The same astropy gives the
same bytes each time.
"""

import gzip as gzip_module
import hashlib
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.compressed import _codecs
from astropy.io.fits.hdu.compressed import header as settings_of_headers
from astropy.io.fits.hdu.compressed.settings import NO_DITHER, SUBTRACTIVE_DITHER_1, SUBTRACTIVE_DITHER_2

# gzip headers carry the time of day otherwise.
_codecs.gzip_compress = lambda data: gzip_module.compress(data, mtime=0)

warnings.simplefilter("ignore")


def scene(shape, dtype, seed, low=None, high=None, level=0.5, noise=4.0):
    """Sky, noise, a ramp and a few stars, within a type's range."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, noise, shape)
    image += np.arange(shape[-1]) * 0.7
    for at in rng.integers(0, image.size, 5):
        image.flat[at] += 30 * noise
    if np.issubdtype(dtype, np.floating):
        return (100 + image).astype(dtype)
    info = np.iinfo(dtype)
    low, high = (info.min if low is None else low), (info.max if high is None else high)
    image = np.rint(low + level * (high - low) + image)
    return np.clip(image, low, high).astype(dtype)


def with_ends(image):
    """The ends of the type beside each other: differences that do not fit in it."""
    image = image.copy()
    info = np.iinfo(image.dtype)
    image.flat[5:9] = [info.min, info.max, info.min, info.max]
    image.flat[-1] = info.max
    return image


def with_gaps(image, seed):
    """A twentieth not numbers, a twentieth exact zeros, a row without numbers."""
    rng = np.random.default_rng(seed)
    image = image.copy()
    image[rng.random(image.shape) < 0.05] = np.nan
    image[rng.random(image.shape) < 0.05] = 0
    image[image.shape[0] // 2] = np.nan
    return image


def mask(shape, dtype, values, seed):
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, dtype)
    for value in values:
        row, column = rng.integers(0, shape[-2] - 3), rng.integers(0, shape[-1] - 8)
        image[..., row : row + 3, column : column + 8] = value
    return image


def hdu(data, codec, header=None, **options):
    return fits.CompImageHDU(data, header, compression_type=codec, **options)


def quantised(data, codec, method, **options):
    return hdu(data, codec, quantize_method=method, dither_seed=77, quantize_level=8, **options)


def blank():
    header = fits.Header()
    header["BLANK"] = -32768
    return header


def files():
    s = (13, 37)
    tile = (6, 16)  # in numpy order; divides neither axis
    i16_gaps = scene(s, np.int16, 9)
    i16_gaps[3, 5:20] = -32768
    i16_gaps[10] = -32768
    half = scene(s, np.float32, 40)
    half[:4] = 7.25  # without noise: these tiles are kept as they are, in GZIP_COMPRESSED_DATA
    f = np.float32, np.float64
    n, d1, d2 = NO_DITHER, SUBTRACTIVE_DITHER_1, SUBTRACTIVE_DITHER_2
    small = {
        "rice_int.fits": [
            ("u8, tiles that do not divide", hdu(with_ends(scene(s, np.uint8, 1)), "RICE_1", tile_shape=tile)),
            ("i16, rows", hdu(with_ends(scene(s, np.int16, 2)), "RICE_1")),
            ("i32, BYTEPIX not stated", hdu(with_ends(scene(s, np.int32, 3)), "RICE_1")),
        ],
        "rice_blocks_of_16.fits": [
            ("u16, 2-D tiles", hdu(with_ends(scene(s, np.uint16, 4)), "RICE_1", tile_shape=tile)),
            ("u32, rows", hdu(with_ends(scene(s, np.uint32, 5)), "RICE_1")),
            ("i16 cube, 3-D tiles", hdu(scene((3, 9, 14), np.int16, 6), "RICE_1", tile_shape=(2, 4, 5))),
        ],
        "gzip_int.fits": [
            ("i16 cube, GZIP_1", hdu(scene((2, 7, 12), np.int16, 11), "GZIP_1", tile_shape=(1, 4, 12))),
            ("u16, GZIP_2", hdu(with_ends(scene(s, np.uint16, 13)), "GZIP_2")),
            ("i32, 2-D tiles, GZIP_2", hdu(with_ends(scene(s, np.int32, 14)), "GZIP_2", tile_shape=tile)),
        ],
        "gzip_float.fits": [
            ("f32 kept as it is, GZIP_1", hdu(with_gaps(scene(s, f[0], 16), 1), "GZIP_1", quantize_level=0)),
            ("f32 kept as it is, GZIP_2", hdu(with_gaps(scene(s, f[0], 17), 2), "GZIP_2", quantize_level=0)),
            ("f64 kept as it is, GZIP_2", hdu(with_gaps(scene((7, 31), f[1], 19), 4), "GZIP_2", quantize_level=0)),
        ],
        "hcompress.fits": [
            ("u16, scale 4", hdu(scene(s, np.uint16, 21), "HCOMPRESS_1", tile_shape=(7, 33), hcomp_scale=4)),
            ("i32, scale 2, smoothed", hdu(scene((20, 37), np.int32, 23), "HCOMPRESS_1", tile_shape=(16, 33),
                                           hcomp_scale=2, hcomp_smooth=1)),
            ("i16 cube, scale 16, smoothed", hdu(scene((2, 20, 21), np.int16, 25), "HCOMPRESS_1",
                                                 tile_shape=(1, 20, 21), hcomp_scale=16, hcomp_smooth=1)),
        ],
        "plio.fits": [
            ("u8, rows", hdu(mask((12, 60), np.uint8, [1, 255, 3], 26), "PLIO_1")),
            ("i16, 2-D tiles", hdu(mask((12, 60), np.int16, [1, 4000, 32767], 27), "PLIO_1", tile_shape=(5, 32))),
            ("i32 cube", hdu(mask((2, 9, 60), np.int32, [1, 70000, 1 << 23], 28), "PLIO_1", tile_shape=(1, 9, 60))),
        ],
        "float.fits": [
            ("f32, NO_DITHER, NaN", quantised(with_gaps(scene(s, f[0], 30), 5), "RICE_1", n)),
            ("f32, SUBTRACTIVE_DITHER_1, NaN", quantised(with_gaps(scene(s, f[0], 31), 6), "RICE_1", d1)),
            ("f32, SUBTRACTIVE_DITHER_2, NaN", quantised(with_gaps(scene(s, f[0], 32), 7), "RICE_1", d2,
                                                         tile_shape=tile)),
        ],
        "double.fits": [
            ("f64, NO_DITHER, GZIP_1", quantised(scene(s, f[1], 33), "GZIP_1", n)),
            ("f64, SUBTRACTIVE_DITHER_1, NaN", quantised(with_gaps(scene(s, f[1], 34), 8), "RICE_1", d1)),
            ("f64, SUBTRACTIVE_DITHER_2, NaN, GZIP_2", quantised(with_gaps(scene(s, f[1], 36), 10), "GZIP_2", d2,
                                                                 tile_shape=tile)),
        ],
        "blank_and_fallback.fits": [
            ("i16 with BLANK", hdu(i16_gaps, "RICE_1", blank())),
            ("f32, some tiles in GZIP_COMPRESSED_DATA", quantised(half, "RICE_1", d1)),
        ],
        "hcompress_other.fits": [
            ("u8", hdu(scene(s, np.uint8, 20), "HCOMPRESS_1", tile_shape=(7, 16))),
            ("f32, SUBTRACTIVE_DITHER_1, NaN", quantised(
                with_gaps(scene((16, 21), f[0], 38), 11), "HCOMPRESS_1", d1, tile_shape=(16, 21))),
        ],
    }
    rest = {
        "rest_int.fits": [
            ("i16 with ZBLANK, GZIP_2", hdu(i16_gaps, "GZIP_2", blank(), tile_shape=tile)),
            ("u8, GZIP_1", hdu(scene(s, np.uint8, 10), "GZIP_1")),
            ("i32, 2-D tiles, GZIP_1", hdu(with_ends(scene(s, np.int32, 12)), "GZIP_1", tile_shape=tile)),
        ],
        "rest_uint.fits": [
            ("u32, GZIP_2", hdu(with_ends(scene(s, np.uint32, 15)), "GZIP_2")),
            ("u8, GZIP_2", hdu(with_ends(scene(s, np.uint8, 42)), "GZIP_2")),
            ("u16, GZIP_1", hdu(with_ends(scene(s, np.uint16, 43)), "GZIP_1")),
        ],
        "rest_hcompress.fits": [
            ("i16, the ends of the type, lossless", hdu(with_ends(scene(s, np.int16, 44)), "HCOMPRESS_1",
                                                        tile_shape=(7, 33))),
            ("u16, one tile", hdu(with_ends(scene(s, np.uint16, 22)), "HCOMPRESS_1", tile_shape=s)),
            ("u32", hdu(with_ends(scene(s, np.uint32, 24)), "HCOMPRESS_1", tile_shape=(9, 20))),
        ],
        "rest_float.fits": [
            ("f32, SUBTRACTIVE_DITHER_1, GZIP_1", quantised(scene(s, f[0], 37), "GZIP_1", d1, tile_shape=tile)),
            ("f64, NO_DITHER, HCOMPRESS_1", quantised(scene((16, 37), f[1], 39), "HCOMPRESS_1", n,
                                                      tile_shape=(8, 20))),
            ("f32, SUBTRACTIVE_DITHER_2, HCOMPRESS_1, scale 2, smoothed", quantised(
                scene((16, 21), f[0], 41), "HCOMPRESS_1", d2, tile_shape=(16, 21), hcomp_scale=2, hcomp_smooth=1)),
        ],
        "rest_double.fits": [
            ("f64 kept as it is, GZIP_1", hdu(with_gaps(scene((7, 31), f[1], 18), 3), "GZIP_1", quantize_level=0)),
            ("f64, SUBTRACTIVE_DITHER_2, RICE_1", quantised(with_gaps(scene(s, f[1], 35), 9), "RICE_1", d2)),
            ("f64, NO_DITHER, NaN, RICE_1", quantised(with_gaps(scene(s, f[1], 45), 12), "RICE_1", n)),
        ],
    }
    return {**small, **rest} if "--all" in sys.argv else small


def trim(path):
    """Makes headers fit in one block each; takes BYTEPIX out of one (readers then take 4)."""
    with fits.open(path, mode="update", disable_image_compression=True) as tables:
        for number, table in enumerate(tables):
            header = table.header
            if len(header) > 35:
                for key in ("EXTNAME", "ZPCOUNT", "ZGCOUNT"):
                    del header[key]
            if (path.name, number) == ("rest_int.fits", 1):
                header.rename_keyword("BLANK", "ZBLANK")
            if (path.name, number) == ("rice_int.fits", 3):
                for key in [k for k in header if k.startswith("ZNAME") and header[k] == "BYTEPIX"]:
                    del header[key]
                    del header["ZVAL" + key[5:]]


def digest(array):
    array = np.array(array)
    if np.issubdtype(array.dtype, np.floating):
        array[np.isnan(array)] = np.nan
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for name, hdus in files().items():
        path = folder / name
        # astropy has no option for it.
        settings_of_headers.DEFAULT_BLOCK_SIZE = 16 if name == "rice_blocks_of_16.fits" else 32
        fits.HDUList([fits.PrimaryHDU()] + [h for _, h in hdus]).writeto(path, overwrite=True)
        trim(path)
        truth[name] = {}
        with fits.open(path) as read:
            for number, (what, _) in enumerate(hdus, start=1):
                data = read[number].data
                truth[name][str(number)] = {
                    "shape": list(data.shape),
                    "dtype": data.dtype.name,
                    "sha256": digest(data),
                    "what": what,
                }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


main()
