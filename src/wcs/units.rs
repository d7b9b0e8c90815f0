//! The units that CUNIT may have on celestial and spectral axes, in degrees and in SI. On other axes a unit is text.

/// What a spectral axis measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measure {
    Length,
    Frequency,
    Energy,
    Wavenumber,
    Speed,
    /// No unit.
    Ratio,
}

impl Measure {
    /// Of the type of a spectral axis.
    pub(super) fn of(code: &str) -> Option<Measure> {
        Some(match code {
            "WAVE" | "AWAV" => Measure::Length,
            "FREQ" => Measure::Frequency,
            "ENER" => Measure::Energy,
            "WAVN" => Measure::Wavenumber,
            "VRAD" | "VOPT" | "VELO" | "FELO" => Measure::Speed,
            "ZOPT" | "BETA" => Measure::Ratio,
            _ => return None,
        })
    }

    /// Its SI unit.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Measure::Length => "m",
            Measure::Frequency => "Hz",
            Measure::Energy => "J",
            Measure::Wavenumber => "1/m",
            Measure::Speed => "m/s",
            Measure::Ratio => "",
        }
    }

    /// What a number in `unit` is multiplied with to be in the SI unit.
    pub(super) fn factor(self, unit: &str) -> Option<f64> {
        let unit = unit.trim();
        if unit.is_empty() {
            return Some(1.0);
        }
        match self {
            Measure::Length => length(unit),
            Measure::Frequency => match unit {
                "HZ" | "hz" => Some(1.0),
                "KHZ" => Some(1e3),
                "MHZ" => Some(1e6),
                "GHZ" => Some(1e9),
                "1/s" | "/s" | "s-1" | "s^-1" | "s**-1" | "s**(-1)" => Some(1.0),
                _ => prefixed(unit, "Hz"),
            },
            Measure::Energy => match unit {
                "erg" => Some(1e-7),
                // Exact since 2019.
                _ => prefixed(unit, "J").or_else(|| Some(prefixed(unit, "eV")? * 1.602_176_634e-19)),
            },
            Measure::Wavenumber => {
                let inverse = unit.strip_prefix("1/").or_else(|| unit.strip_prefix('/'));
                let power = || ["^-1", "**-1", "**(-1)", "-1"].iter().find_map(|p| unit.strip_suffix(p));
                Some(1.0 / length(inverse.or_else(power)?)?)
            }
            Measure::Speed => {
                let over = ["/s", "/sec", " s-1", ".s-1", " s^-1", " s**-1", " s**(-1)"];
                prefixed(over.iter().find_map(|o| unit.strip_suffix(o))?, "m")
            }
            Measure::Ratio => None,
        }
    }
}

fn length(unit: &str) -> Option<f64> {
    match unit {
        "Angstrom" | "angstrom" | "Angstroms" | "angstroms" => Some(1e-10),
        _ => prefixed(unit, "m"),
    }
}

fn prefixed(unit: &str, base: &str) -> Option<f64> {
    Some(match unit.strip_suffix(base)? {
        "" => 1.0,
        "f" => 1e-15,
        "p" => 1e-12,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "c" => 1e-2,
        "d" => 1e-1,
        "da" => 1e1,
        "h" => 1e2,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        _ => return None,
    })
}

/// What an angle in `unit` is multiplied with to be in degrees.
pub(super) fn degrees(unit: &str) -> Option<f64> {
    Some(match unit.trim() {
        "" | "deg" | "DEG" | "Deg" | "degree" | "degrees" | "Degree" | "Degrees" | "DEGREE" | "DEGREES" => 1.0,
        "arcmin" | "ARCMIN" | "Arcmin" => 1.0 / 60.0,
        "arcsec" | "ARCSEC" | "Arcsec" => 1.0 / 3600.0,
        "marcsec" | "mas" => 1.0 / 3.6e6,
        "uarcsec" => 1.0 / 3.6e9,
        "rad" | "radian" | "radians" | "RAD" => 1.0_f64.to_degrees(),
        _ => return None,
    })
}
