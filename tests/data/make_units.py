#!/usr/bin/env python3
"""Writes units.json: what astropy makes of unit strings, for the tests of src/unit.

    pip install astropy==8.0.2 numpy==2.4.6
    python make_units.py

`units`: text, format (fits if astropy reads it as such, else generic), and the unit as scale times a base string.
`pairs`: the factor between two texts, null where they are incompatible. Left out is what the module reads otherwise on
purpose: mag, which is a dimension there, and A beside erg.
"""

import json
import warnings
from itertools import combinations
from pathlib import Path

import astropy.units as u

OUT = Path(__file__).resolve().parent / "units.json"

TEXTS = """
m|g|s|rad|sr|K|A|mol|cd|Hz|J|W|V|N|Pa|C|Ohm|S|F|Wb|T|H|lm|lx|kg|km|cm|mm|um|nm|pm|fm|dam|hm|dm|ks|ms|us|ns|GHz|MHz|kHz
mHz|kW|mW|MV|mV|kPa|hPa|MPa|mT|nT|mA|kA|mK|kmol|pF|nF|mH|kOhm|krad|mrad|deg|arcmin|arcsec|mas|min|h|d|a|yr|kyr|Myr|Gyr
eV|keV|MeV|GeV|TeV|meV|erg|Ry|solMass|u|solLum|solRad|AU|lyr|pc|kpc|Mpc|Gpc|G|mG|uG|D|barn|mbarn|Jy|mJy|uJy|nJy|MJy|kJy|R
Angstrom|angstrom|count|ct|photon|ph|pixel|pix|chan|bin|voxel|adu|beam|bit|byte|kbit|Mbyte|electron|micron|AA
m s-1|m.s-1|m*s**-1|m/s|km/s|km s**-1|km/(s Mpc)|erg/s/cm2/Angstrom|erg s-1 cm-2 Angstrom-1|erg/(s cm2 Angstrom)
10**-17 erg/s/cm2/Angstrom|10**-17 erg s**-1 cm**-2 Angstrom**-1|10-17 erg/s/cm**2/Angstrom|10^-17 erg s^-1 cm^-2 Angstrom^-1
1E-17 erg/s/cm^2/Angstrom|1e-20 W m-2 um-1|W/m2/um|W m-2 Hz-1|W/m2/nm|MJy/sr|Jy/beam|mJy/beam|mJy/arcsec2|MJy/arcsec**2
photon/s/cm2/Angstrom|photon cm-2 s-1 keV-1|count/s|ct/s|ct s-1|adu/s|adu**2|adu**-2|electron/s|electron/adu|adu/pixel
count/pixel|pixel/arcsec|arcsec/pixel|deg/pix|arcsec2|deg**2|sr-1|rad2|10**3 m|10+3 m|2.5 m|100 cm|0.001 km|1e3 m|10**(3) m
m**(1/2)|m(1/2)|m^(1/2)|km**(1/2)|m**(2/3)|kg**(-1/2)|sqrt(m)|sqrt(km)|sqrt(J kg)|m2|m+2|m**(2)|m^2|m**+2|m^(+2)|m-3|m**-3
m^(-3)|/m3|kg m2 s-2|kg m2/s2|J/(kg K)|J s|N m|V/m|T m|Wb/m2|C/s|lm/W|lx s|solLum/pc2|solMass/yr|solMass pc-3|solRad/d
erg/G|eV/u|K km s-1|K.km/s|Jy km/s|km2/s2|deg/h|arcsec/yr|mas/yr|rad/s|m/s2|cm s-2|D2|barn/sr|hourangle|uas|dyn|bar|%
""".replace("\n", "|").split("|")


def read(text):
    """The unit of a text, and the format that reads it."""
    for format in ("fits", "generic"):
        try:
            return u.Unit(text, format=format), format
        except ValueError:
            pass
    raise ValueError(text)


def main():
    warnings.simplefilter("ignore")
    texts = [t for t in TEXTS if t]
    assert len(set(texts)) == len(texts)
    units = {text: read(text) for text in texts}
    rows = []
    for text, (unit, format) in units.items():
        si = unit.decompose()
        base = " ".join(f"{b.to_string()}**({p})" for b, p in zip(si.bases, si.powers))
        rows.append({"text": text, "format": format, "scale": float(si.scale), "base": base})
    pairs = []
    for a, b in combinations(texts, 2):
        try:
            factor = float(units[a][0].to(units[b][0]))
        except u.UnitConversionError:
            factor = None
        # Of the incompatible, a few.
        if factor is not None or (texts.index(a) * 7 + texts.index(b)) % 97 == 0:
            pairs.append({"from": a, "to": b, "factor": factor})
    row = lambda r: json.dumps(r, ensure_ascii=False)
    lists = {name: ",\n".join(map(row, table)) for name, table in (("units", rows), ("pairs", pairs))}
    OUT.write_text("{" + ",\n".join(f'"{name}": [\n{text}\n]' for name, text in lists.items()) + "}\n")
    print(len(rows), "units", len(pairs), "pairs", sum(p["factor"] is None for p in pairs), "incompatible")


if __name__ == "__main__":
    main()
