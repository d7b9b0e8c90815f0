"""World coordinates by astropy 8.0.2 and numpy 2.4.6: the truth for the tests of src/wcs, in wcs.json.

    python3 make_wcs.py [folder ...]
    python3 make_wcs.py --written FILE    # judge the cards that the ignored test `cards_for_astropy` wrote

The cases are hand-made headers for every projection, matrix form, distortion and spectral type, and the WCS cards of
the images in the folders (by default tests/data/images; the committed file also has those of public test files of
other projects). Pixels are in numpy order and counted from 0, worlds as all_pix2world gives them, null where it gives
none. "back" says where astropy itself finds the way back from the world to the pixel.
"""

import json
import pathlib
import re
import sys
import warnings

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

HERE = pathlib.Path(__file__).parent
NUMBERED = r"(CTYPE|CUNIT|CRVAL|CDELT|CRPIX|CROTA|CNAME|CPDIS|D2IMDIS|NAXIS)\d+|(CD|PC|PV|PS)\d+_\d+"
SINGLE = "NAXIS|WCSAXES|LONPOLE|LATPOLE|EQUINOX|RADESYS|RESTFRQ|RESTFREQ|RESTWAV|SPECSYS|VELREF|AXISCORR|AMDX1"
SIP = r"(A|B|AP|BP)_(ORDER|\d_\d)"
WANTED = re.compile(rf"({NUMBERED}|{SINGLE}|{SIP}|WAT\d_\d\d\d)$")
RNG = np.random.default_rng(20)


def full(header, hdus=None):
    """Pixel to world and back, for the pixel axes that the image has."""
    axes = header.get("NAXIS", 0)
    if any(re.fullmatch(SIP, key) for key in header) and max(axes, header.get("WCSAXES", 0)) > 2:
        # astropy has SIP in two dimensions only; here the further axes are linear.
        flat = WCS(header, naxis=2)
        rest = header.copy()
        for key in list(rest):
            if re.fullmatch(SIP, key):
                del rest[key]
        cube = WCS(rest)

        def world(points):
            out = cube.wcs_pix2world(points, 0)
            out[:, :2] = flat.all_pix2world(points[:, :2], 0)
            return out

        return lambda p: world(np.hstack([p, np.zeros((len(p), cube.naxis - p.shape[1]))])), None, cube.naxis
    wcs = WCS(header, hdus)
    axes = axes or wcs.naxis

    def padded(points):
        return np.hstack([points, np.zeros((len(points), wcs.naxis - points.shape[1]))])

    def world(points):
        return wcs.all_pix2world(padded(points), 0)

    def pixel(worlds):
        if wcs.sip is not None:
            return wcs.all_world2pix(worlds, 0, tolerance=1e-9, quiet=True)[:, :axes]
        return wcs.wcs_world2pix(worlds, 0)[:, :axes]

    return world, pixel, axes


def case(name, header, hdus=None):
    text = [str(c).rstrip() for c in header.cards if WANTED.match(c.keyword)]
    world, pixel, axes = full(header, hdus)
    axes = header.get("NAXIS", 0) or axes
    shape = [max(header.get(f"NAXIS{i + 1}", 100), 1) for i in range(axes)]
    last = [n - 1 for n in shape]
    corners = [[0] * axes, last, [last[0]] + [0] * (axes - 1), [0] * (axes - 1) + [last[-1]], [n / 2 for n in last]]
    points = np.array(corners + [[round(RNG.uniform(-0.5, n - 0.5), 2) for n in shape] for _ in range(3)], float)
    worlds = world(points)
    back = []
    for p, w in zip(points, worlds):
        try:
            found = pixel(w[None]) if pixel and np.isfinite(w).all() else np.full((1, axes), np.nan)
            back.append(int(np.allclose(found[0], p, rtol=0, atol=1e-6)))
        except Exception:
            back.append(0)
    return {
        "name": name,
        "cards": text,
        "pixels": [list(map(float, p[::-1])) for p in points],
        "worlds": [list(map(float, w)) if np.isfinite(w).all() else None for w in worlds],
        "back": back,
    }


def files(folders):
    seen = set()
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            try:
                with fits.open(path, ignore_missing_end=True) as hdus:
                    for i, hdu in enumerate(hdus):
                        header = hdu.header
                        core = [k for k in header if re.fullmatch(r"(CTYPE|CRVAL|CRPIX|CDELT)\d|(CD|PC)\d_\d", k)]
                        if not hdu.is_image or not core:
                            continue
                        one = case(f"{path.name}[{i}]", header, hdus)
                        key = "\n".join(one["cards"])
                        if key not in seen:
                            seen.add(key)
                            yield one
            except Exception as error:
                print(f"{path}: {error!r:.100}", file=sys.stderr)


def header(naxis=2, shape=(100, 80, 30, 4, 3), **cards):
    h = fits.Header()
    h["NAXIS"] = naxis
    for i in range(naxis):
        h[f"NAXIS{i + 1}"] = shape[i]
    for key, value in cards.items():
        h[key] = value
    return h


def sky(code, frame=("RA", "DEC"), suffix=""):
    lon, lat = frame
    return {"CTYPE1": f"{lon:-<4}-{code}{suffix}", "CTYPE2": f"{lat:-<4}-{code}{suffix}"}


PROJECTIONS = {
    "AZP": {"PV2_1": 2.0, "PV2_2": 30.0}, "SZP": {"PV2_1": 2.0, "PV2_2": 180.0, "PV2_3": 60.0}, "TAN": {}, "STG": {},
    "SIN": {"PV2_1": 0.1, "PV2_2": 0.2}, "ARC": {}, "ZPN": {"PV2_1": 1.0, "PV2_3": -0.02, "PV2_5": 0.001}, "ZEA": {},
    "AIR": {"PV2_1": 45.0}, "CYP": {"PV2_1": 1.0, "PV2_2": 0.7071}, "CEA": {"PV2_1": 0.8}, "CAR": {}, "MER": {},
    "SFL": {}, "PAR": {}, "MOL": {}, "AIT": {}, "COP": {"PV2_1": 45.0, "PV2_2": 25.0},
    "COE": {"PV2_1": 45.0, "PV2_2": 25.0}, "COD": {"PV2_1": 45.0, "PV2_2": 25.0}, "COO": {"PV2_1": 45.0, "PV2_2": 25.0},
    "BON": {"PV2_1": 45.0}, "PCO": {}, "TSC": {}, "CSC": {}, "QSC": {}, "HPX": {}, "XPH": {},
}  # fmt: skip
POINT = {"CRVAL1": 150.1, "CRVAL2": 32.2, "CRPIX1": 47.3, "CRPIX2": 41.8}
CD = {"CD1_1": -2.1e-4, "CD1_2": 3.3e-5, "CD2_1": 2.7e-5, "CD2_2": 1.9e-4}
A = {"A_ORDER": 3, "A_2_0": 2.1e-5, "A_0_2": -1.3e-5, "A_1_1": 0.7e-5, "A_3_0": 3e-8, "A_1_2": -2e-8}
B = {"B_ORDER": 2, "B_2_0": -1.9e-5, "B_0_2": 1.1e-5, "B_1_1": 1.7e-5}
AP = {"AP_ORDER": 2, "AP_2_0": -2.1e-5, "AP_0_2": 1.3e-5, "BP_ORDER": 2, "BP_2_0": 1.9e-5, "BP_1_1": -1.7e-5}
TPV = {
    "PV1_0": 1e-4, "PV1_1": 1.01, "PV1_2": 2e-3, "PV1_4": 0.1, "PV1_5": -0.2, "PV1_7": 0.3, "PV1_10": 0.05,
    "PV1_3": 1e-4, "PV1_12": 0.4, "PV1_17": 0.6, "PV1_39": 0.7, "PV2_0": -2e-4, "PV2_1": 0.99, "PV2_2": -1e-3,
    "PV2_4": -0.1, "PV2_6": 0.2, "PV2_11": 0.3, "PV2_16": 0.2, "PV2_24": 0.5,
}  # fmt: skip


def wat(axis, name, record):
    text = f"wtype=tnx axtype={name} {'lngcor' if axis == 1 else 'latcor'} = \"{record} \""
    return {f"WAT{axis}_{k + 1:03}": text[68 * k : 68 * k + 68].ljust(68) for k in range(-(-len(text) // 68))}


def tnx(lon, lat):
    tail = " -0.6 0.6 -0.5 0.7 "
    coefficient = {"2": 6, "1": 9, "0": 5}

    def record(head, base):
        return head + tail + " ".join(f"{base * (k + 1) * (-1) ** k:.10f}" for k in range(coefficient[head[-2]]))

    system = {"WAT0_001": "system=image".ljust(68)}
    return {**system, **wat(1, "ra", record(lon, 0.0011)), **wat(2, "dec", record(lat, -0.0007))}


def made():
    for code, pv in PROJECTIONS.items():
        yield f"{code} CD", header(**sky(code), **POINT, **CD, **pv)
        pc = {"CDELT1": -0.5, "CDELT2": 0.45, "PC1_1": 0.96, "PC1_2": -0.28, "PC2_1": 0.28, "PC2_2": 0.96}
        oblique = code in ("CYP", "CEA", "CAR", "MER", "SFL", "PAR", "MOL", "AIT", "BON", "PCO", "TSC", "CSC", "QSC", "HPX")
        poles = {"LONPOLE": 20.0 if oblique else 170.0, "LATPOLE": 50.0}
        yield f"{code} PC", header(**sky(code, ("GLON", "GLAT")), **POINT, **pc, **pv, **poles)
        wide = {"CRVAL1": -20.0, "CRVAL2": -10.0, "CRPIX1": 50.5, "CRPIX2": 40.5}
        turned = {"CDELT1": -3.7, "CDELT2": 3.1, "CROTA2": 12.5}
        yield f"{code} CROTA", header(**sky(code, ("ELON", "ELAT")), **wide, **turned, **pv)
    for code in ("AZP", "SZP", "SIN", "AIR", "CYP", "CEA", "HPX", "ZPN", "COE", "BON"):
        pv = {"PV2_0": 0.0, "PV2_1": 1.0} if code == "ZPN" else {"PV2_1": 45.0} if code in ("COE", "BON") else {}
        yield f"{code} by default", header(**sky(code), **POINT, CDELT1=-0.5, CDELT2=0.45, **pv)
    yield "SZP by default but for one", header(**sky("SZP"), **POINT, CDELT1=-0.5, CDELT2=0.45, PV2_1=2.0)
    yield "HPX by default but for one", header(**sky("HPX"), **POINT, CDELT1=-0.5, CDELT2=0.45, PV2_2=5.0)
    yield "AIR to the equator", header(**sky("AIR"), **POINT, CDELT1=-0.5, CDELT2=0.45, PV2_1=0.0)
    plain = {"CDELT1": -0.01, "CDELT2": 0.012}
    swapped = {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN"}
    yield "SIP", header(**sky("TAN", suffix="-SIP"), **POINT, **CD, **A, **B)
    yield "SIP with AP", header(**sky("TAN", suffix="-SIP"), **POINT, **CD, **A, **B, **AP)
    yield "SIP unsaid", header(**sky("TAN"), **POINT, **CD, **A, **B)
    yield "SIP on ZEA", header(**sky("ZEA", suffix="-SIP"), **POINT, **CD, **A, **B)
    yield "SIP with PC", header(**sky("TAN", suffix="-SIP"), **POINT, **plain, PC1_2=0.1, PC2_1=-0.1, **A, **B)
    yield "SIP with CROTA", header(**sky("TAN", suffix="-SIP"), **POINT, **plain, CROTA2=33.0, **A, **B)
    yield "SIP with linear terms", header(**sky("TAN"), **POINT, **CD, **A, **B, A_0_0=0.8, A_1_0=0.01, B_0_1=0.02)
    yield "SIP of order 1", header(**sky("TAN"), **POINT, **CD, A_ORDER=1, B_ORDER=1, A_1_0=0.1)
    yield "SIP, latitude first", header(**{**swapped, "CTYPE1": "DEC--TAN-SIP", "CTYPE2": "RA---TAN-SIP"},
                                        CRVAL1=32.2, CRVAL2=150.1, CRPIX1=47.3, CRPIX2=41.8, **CD, **A, **B)
    yield "SIP and scamp", header(**sky("TAN", suffix="-SIP"), **POINT, **CD, **A, **B, PV1_5=0.1, PV2_1=1.0)
    yield "SIP cube", header(3, **sky("TAN", suffix="-SIP"), CTYPE3="WAVE", **POINT, CRVAL3=5000.0, CRPIX3=1.0,
                             CUNIT3="Angstrom", **CD, CD3_3=1.5, **A, **B)
    yield "TPV", header(**sky("TPV"), **POINT, **CD, **TPV)
    yield "TPV with PC", header(**sky("TPV"), **POINT, **plain, PC1_2=0.1, **TPV)
    yield "TPV with CROTA", header(**sky("TPV"), **POINT, **plain, CROTA2=-5.0, **TPV)
    yield "TPV called TAN", header(**sky("TAN"), **POINT, **CD, **TPV)
    yield "TPV and SIP", header(**sky("TPV"), **POINT, **CD, **TPV, **A, **B)
    yield "TPV, latitude first", header(CTYPE1="DEC--TPV", CTYPE2="RA---TPV", CRVAL1=32.2, CRVAL2=150.1, CRPIX1=47.3,
                                        CRPIX2=41.8, **CD, PV1_1=1.01, PV1_2=0.01, PV1_5=0.1, PV2_1=1.0, PV2_6=0.3)
    for lon in ("1. 3. 3. 2.", "2. 3. 3. 1.", "3. 3. 3. 0.", "3. 3. 3. 2."):
        yield f"TNX {lon}", header(**sky("TNX"), **POINT, **CD, **tnx(lon, "1. 3. 3. 2."))
    yield "TNX without WAT", header(**sky("TNX"), **POINT, **CD)
    yield "latitude first", header(**swapped, CRVAL1=32.2, CRVAL2=150.1, CRPIX1=47.3, CRPIX2=41.8, **CD)
    yield "NCP", header(**sky("NCP"), **POINT, **CD)
    yield "GLS", header(**sky("GLS"), **POINT, **plain)
    yield "CAR PV1_1", header(**sky("CAR"), **POINT, **plain, PV1_1=10.0, PV1_2=20.0)
    yield "CAR PV1_0", header(**sky("CAR"), **POINT, **plain, PV1_0=1.0, PV1_1=10.0, PV1_2=20.0)
    yield "CAR LATPOLE", header(**sky("CAR"), **POINT, **plain, LATPOLE=-90.0)
    yield "CAR at the equator", header(**sky("CAR"), **{**POINT, "CRVAL2": 0.0}, **plain)
    yield "TAN PV1_1", header(**sky("TAN"), **POINT, **plain, PV1_1=1.1)
    yield "TAN PV1_3", header(**sky("TAN"), **POINT, **plain, PV1_3=170.0, LONPOLE=160.0)
    yield "TAN PV1_4", header(**sky("TAN"), **POINT, **plain, PV1_4=40.0)
    yield "TAN LONPOLE", header(**sky("TAN"), **POINT, **plain, LONPOLE=170.0)
    yield "TAN at the pole", header(**sky("TAN"), **{**POINT, "CRVAL2": 90.0}, **plain)
    yield "TAN near the south pole", header(**sky("TAN"), **{**POINT, "CRVAL2": -89.8}, **plain)
    yield "TAN over 0 hours", header(**sky("TAN"), **{**POINT, "CRVAL1": 0.0}, **plain)
    yield "TAN below 0 hours", header(**sky("TAN"), **{**POINT, "CRVAL1": -0.1}, **plain)
    yield "TAN beyond 360", header(**sky("TAN"), **{**POINT, "CRVAL1": 380.0}, **plain)
    yield "ZPN of high order", header(**sky("ZPN"), **POINT, **plain, PV2_1=1.0, PV2_3=0.3, PV2_7=0.1, PV2_20=1e-3)
    yield "HPX of other faces", header(**sky("HPX"), **POINT, **plain, PV2_1=6.0, PV2_2=4.0)
    yield "SIN without obliqueness", header(**sky("SIN"), **POINT, **CD)
    yield "solar", header(**sky("TAN", ("HPLN", "HPLT")), CRVAL1=120.0, CRVAL2=-300.0, CRPIX1=50.5, CRPIX2=40.5,
                          CDELT1=2.4, CDELT2=2.4, CUNIT1="arcsec", CUNIT2="arcsec", CROTA2=7.0)
    yield "planetary", header(**sky("SIN", ("MALN", "MALT")), **POINT, **plain)
    yield "helioecliptic", header(**sky("AIT", ("HLON", "HLAT")), **POINT, CDELT1=-2.0, CDELT2=2.0)
    for unit in ("arcmin", "arcsec", "ARCSEC", "mas", "degree", "DEG", "Degrees"):
        scale = {"CDELT1": -3.0, "CDELT2": 2.0, "CRVAL1": 20.0, "CRVAL2": 30.0, "CRPIX1": 5.0, "CRPIX2": 6.0}
        yield f"TAN in {unit}", header(**sky("TAN"), **scale, CUNIT1=unit, CUNIT2="deg")
    yield "TAN in rad", header(**sky("TAN"), CRVAL1=1.0, CRVAL2=0.5, CDELT1=-1e-4, CDELT2=1e-4, CRPIX1=5.0,
                               CUNIT1="rad", CUNIT2="rad")
    yield "RA and DEC without projection", header(CTYPE1="RA", CTYPE2="DEC", **POINT, **plain)
    yield "CD and CDELT", header(**sky("TAN"), **POINT, **CD, **plain)
    yield "CD and CROTA", header(**sky("TAN"), **POINT, **CD, CROTA2=30.0)
    yield "PC and CROTA", header(**sky("TAN"), **POINT, **plain, PC1_1=0.9, PC1_2=0.1, CROTA2=30.0)
    yield "CROTA1 alone", header(**sky("TAN"), **POINT, **plain, CROTA1=30.0)
    yield "CROTA, latitude first", header(**swapped, CRVAL1=32.2, CRVAL2=150.1, **plain, CROTA1=20.0, CROTA2=10.0)
    yield "CROTA without sky", header(CTYPE1="X", CTYPE2="Y", **plain, CROTA2=10.0)
    yield "CD with holes", header(**sky("TAN"), **POINT, CD1_1=-1e-3, CD2_2=1e-3)
    yield "CD of one axis", header(**sky("TAN"), **{**POINT, "CRPIX2": 40.0}, CD1_1=-1e-3)
    yield "no CTYPE", header(CRPIX1=10.0, CRVAL1=3.0, CDELT2=2.5)
    yield "one axis", header(1, CTYPE1="LINEAR", CRVAL1=3.0, CRPIX1=1.0, CDELT1=0.5)
    velocity = {"CTYPE3": "VRAD", "CRVAL3": 12.0, "CDELT3": 0.5, "CRPIX3": 3.0, "CUNIT3": "km/s"}
    yield "cube", header(3, **sky("SIN"), **POINT, **plain, **velocity)
    yield "cube with CD", header(3, **sky("TAN"), **POINT, **CD, **{**velocity, "CD3_3": 2.0})
    yield "cube without CD3_3", header(3, **sky("TAN"), **POINT, **CD, **velocity)
    yield "cube with spectrum first", header(3, CTYPE1="FREQ", CRVAL1=1.4e9, CDELT1=1e6, CRPIX1=10.0,
                                             CTYPE2="GLON-CAR", CTYPE3="GLAT-CAR", CRVAL2=30.0, CRVAL3=0.0,
                                             CDELT2=-0.1, CDELT3=0.1, CRPIX2=20.0, CRPIX3=15.0, CROTA3=11.0)
    yield "cube with sheared spectrum", header(3, **sky("TAN"), **POINT, **plain, **velocity, PC3_1=0.01, PC1_3=0.02)
    yield "hypercube", header(4, **sky("SIN"), **POINT, **plain, **velocity, CTYPE4="STOKES", CRVAL4=1.0, CDELT4=1.0)
    yield "image of a cube", header(2, WCSAXES=4, **sky("SIN"), **POINT, **plain, **velocity, CTYPE4="STOKES",
                                    CRVAL4=2.0, CRPIX4=1.0)
    yield "image with a third CTYPE", header(2, **sky("TAN"), **POINT, **CD, CTYPE3="FREQ", CRVAL3=1e9)
    yield "cube with two world axes", header(3, WCSAXES=2, **sky("TAN"), **POINT, **CD)
    yield "slit", header(2, CTYPE1="WAVE", CUNIT1="nm", CRVAL1=500.0, CRPIX1=1.0, CTYPE2="RA---TAN", CTYPE3="DEC--TAN",
                         CRVAL2=10.0, CRVAL3=20.0, CRPIX2=40.0, CDELT1=0.1, PC2_2=-1e-4, PC2_3=1e-4, PC3_2=1e-4,
                         PC3_3=1e-4)
    for ctype, unit, rest in SPECTRA:
        cards = {"CTYPE1": ctype, "CRVAL1": 5000.0, "CRPIX1": 3.5, "CDELT1": 2.0, "CUNIT1": unit, **rest}
        yield f"{ctype} in {unit or 'nothing'}", header(1, **cards)
    yield "WAVE-GRI", header(1, CTYPE1="WAVE-GRI", CUNIT1="nm", CRVAL1=760.0, CRPIX1=50.0, CDELT1=0.1,
                             PV1_0=3.16e5, PV1_1=1.0, PV1_2=27.0, PV1_3=1.77, PV1_4=-1.077e6, PV1_5=1.0, PV1_6=2.0)
    yield "AWAV-GRA", header(1, CTYPE1="AWAV-GRA", CUNIT1="nm", CRVAL1=760.0, CRPIX1=50.0, CDELT1=0.1,
                             PV1_0=3.16e5, PV1_1=1.0, PV1_2=27.0)


REST = {"RESTFRQ": 1.42e9}
SPECTRA = [
    ("WAVE", "nm", {}), ("WAVE", "Angstrom", {}), ("WAVE", "um", {}), ("WAVE", "", {}), ("AWAV", "nm", {}),
    ("FREQ", "GHz", {}), ("FREQ", "GHZ", {}), ("FREQ", "Hz", {}), ("ENER", "J", {}), ("ENER", "keV", {}),
    ("WAVN", "1/cm", {}), ("WAVN", "cm-1", {}), ("VELO", "km/s", {}), ("VRAD", "km s-1", {}), ("VOPT", "m/s", {}),
    ("ZOPT", "", {}), ("BETA", "", {}), ("VELO-LSR", "km/s", REST), ("VELO-HEL", "m/s", {}), ("VELO-OBS", "m/s", {}),
    ("FREQ-LSR", "Hz", {}), ("FELO-HEL", "km/s", REST), ("FELO", "m/s", REST), ("LAMBDA", "Angstrom", {}),
    ("TIME", "d", {}), ("UTC", "s", {}), ("STOKES", "", {}), ("LINEAR", "nm", {}), ("WAVE-LOG", "nm", {}),
    ("FREQ-LOG", "Hz", {}), ("XPOS-LOG", "", {}), ("WAVE-F2W", "nm", {}), ("WAVE-V2W", "nm", {"RESTWAV": 5.1e-6}),
    ("WAVE-A2W", "nm", {}), ("FREQ-W2F", "GHz", {}), ("FREQ-V2F", "GHz", {"RESTFREQ": 4.9e12}),
    ("FREQ-A2F", "GHz", {}), ("AWAV-F2A", "nm", {}), ("AWAV-W2A", "nm", {}), ("AWAV-V2A", "nm", {"RESTWAV": 5.1e-6}),
    ("VOPT-F2W", "km/s", REST), ("VRAD-W2F", "km/s", REST), ("VELO-F2V", "km/s", REST),
    ("VELO-W2V", "km/s", {"RESTWAV": 5e-7}), ("VELO-A2V", "km/s", {"RESTWAV": 5e-7}), ("WAVN-W2F", "1/m", {}),
    ("ENER-W2F", "eV", {}),
]  # fmt: skip


def angle(a, b):
    """In degrees, exact for small ones."""
    (l1, b1), (l2, b2) = np.radians(a), np.radians(b)
    h = np.sin((b1 - b2) / 2) ** 2 + np.cos(b1) * np.cos(b2) * np.sin((l1 - l2) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(min(h, 1))))


def written(path):
    """Compares what cards mean to astropy with what the Rust code that wrote them means by them."""
    count, wrong, worst = 0, 0, (0, "")
    for one in json.loads(pathlib.Path(path).read_text()):
        h = fits.Header.fromstring("".join(line.ljust(80) for line in one["cards"]))
        try:
            world, _, _ = full(h)
            found = world(np.array([p[::-1] for p in one["pixels"]]))
        except Exception as error:
            print(f"{one['name']}: {error!r:.200}")
            wrong += 1
            continue
        for p, ours, theirs in zip(one["pixels"], one["worlds"], found):
            count += 1
            if ours is None or not np.isfinite(theirs).all():
                bad = ours is not None or np.isfinite(theirs).all()
                apart = relative = 0
            else:
                sky = one["sky"] or []
                apart = angle([ours[i] for i in sky], [theirs[i] for i in sky]) if sky else 0
                rest = [i for i in range(len(ours)) if i not in sky]
                scale = max([abs(v) for v in ours] + [1e-300])
                relative = max([abs(ours[i] - theirs[i]) / scale for i in rest], default=0)
                bad = apart > (5e-5 if "CSC" in one["name"] else 1e-9) or relative > (1e-7 if "eV" in one["name"] else 1e-10)
            if apart > worst[0] and "CSC" not in one["name"]:
                worst = (apart, one["name"])
            if bad:
                wrong += 1
                print(f"{one['name']} at {p}: {ours}, {theirs} by astropy")
    print(f"{count} positions, {wrong} wrong, worst {worst}")
    return wrong


def main():
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["--written"]:
        sys.exit(1 if written(sys.argv[2]) else 0)
    folders = [pathlib.Path(a) for a in sys.argv[1:]] or [HERE / "images"]
    cases = []
    for name, h in made():
        try:
            cases.append(case(name, h))
        except Exception as error:
            print(f"{name}: {error!r:.200}", file=sys.stderr)
    cases += files(folders)
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    (HERE / "wcs.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(cases)} cases")


main()
