//! The units that have a name: FITS standard 4.0, tables 3 to 5, and what instruments write besides.
//!
//! The scale of a unit is `mantissa * 10**exponent` in bases chosen so that as many as possible are exact: gram and
//! arcsecond instead of kilogram and radian. Constants are those of CODATA 2022 and IAU 2015, as in astropy 8.

use std::f64::consts::PI;

/// A dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum Dim {
    Metre, Gram, Second, Arcsecond, Kelvin, Ampere, Mole, Candela,
    Adu, Electron, Count, Photon, Pixel, Beam, Bin, Channel, Voxel, Bit, Mag, Dex, Decibel, Sun, Maggy,
}

/// How many there are.
pub(super) const DIMS: usize = Dim::Maggy as usize + 1;

/// A named unit.
pub(super) struct Entry {
    /// What it is printed as.
    pub(super) symbol: &'static str,
    pub(super) mantissa: f64,
    pub(super) exponent: i64,
    pub(super) dims: &'static [(Dim, i64)],
    /// Whether SI prefixes go with it.
    pub(super) prefixed: bool,
    /// Other symbols, in this case only.
    also: &'static [&'static str],
    /// Names in any case, given in lower case.
    names: &'static [&'static str],
}

/// A named unit with the power of ten of its prefix, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    index: usize,
    pub(super) prefix: i64,
}

/// Powers of ten, symbols and names of the prefixes. Of two with the same power the first is printed.
#[rustfmt::skip]
const PREFIXES: [(i64, &str, &str); 22] = [
    (-24, "y", "yocto"), (-21, "z", "zepto"), (-18, "a", "atto"), (-15, "f", "femto"), (-12, "p", "pico"),
    (-9, "n", "nano"), (-6, "u", "micro"), (-6, "\u{b5}", ""), (-6, "\u{3bc}", ""), (-3, "m", "milli"),
    (-2, "c", "centi"), (-1, "d", "deci"), (1, "da", "deca"), (2, "h", "hecto"), (3, "k", "kilo"), (6, "M", "mega"),
    (9, "G", "giga"), (12, "T", "tera"), (15, "P", "peta"), (18, "E", "exa"), (21, "Z", "zetta"), (24, "Y", "yotta"),
];

/// What says that there is no unit, in lower case.
const DIMENSIONLESS: [&str; 5] = ["none", "unity", "dimensionless", "unitless", "ratio"];

use Dim::*;

const ENERGY: &[(Dim, i64)] = &[(Gram, 1), (Metre, 2), (Second, -2)];
const RAD: f64 = 648_000.0 / PI;
const AU: f64 = 149_597_870_700.0;

#[rustfmt::skip]
static ENTRIES: [Entry; 71] = [
    // Base units.
    si("m", 1.0, 0, &[(Metre, 1)], &[], &["meter", "meters", "metre", "metres"]),
    si("g", 1.0, 0, &[(Gram, 1)], &[], &["gram", "grams"]),
    si("s", 1.0, 0, &[(Second, 1)], &[], &["sec", "secs", "second", "seconds"]),
    si("rad", RAD, 0, &[(Arcsecond, 1)], &[], &["radian", "radians"]),
    si("sr", RAD * RAD, 0, &[(Arcsecond, 2)], &[], &["steradian", "steradians"]),
    si("K", 1.0, 0, &[(Kelvin, 1)], &[], &["kelvin", "kelvins"]),
    si("A", 1.0, 0, &[(Ampere, 1)], &[], &["ampere", "amperes", "amp", "amps"]),
    si("mol", 1.0, 0, &[(Mole, 1)], &[], &["mole", "moles"]),
    si("cd", 1.0, 0, &[(Candela, 1)], &[], &["candela", "candelas"]),
    // Derived units.
    si("Hz", 1.0, 0, &[(Second, -1)], &[], &["hertz"]),
    si("J", 1.0, 3, ENERGY, &[], &["joule", "joules"]),
    si("W", 1.0, 3, &[(Gram, 1), (Metre, 2), (Second, -3)], &[], &["watt", "watts"]),
    si("V", 1.0, 3, &[(Gram, 1), (Metre, 2), (Second, -3), (Ampere, -1)], &[], &["volt", "volts"]),
    si("N", 1.0, 3, &[(Gram, 1), (Metre, 1), (Second, -2)], &[], &["newton", "newtons"]),
    si("Pa", 1.0, 3, &[(Gram, 1), (Metre, -1), (Second, -2)], &[], &["pascal", "pascals"]),
    si("C", 1.0, 0, &[(Ampere, 1), (Second, 1)], &[], &["coulomb", "coulombs"]),
    si("Ohm", 1.0, 3, &[(Gram, 1), (Metre, 2), (Second, -3), (Ampere, -2)], &["ohm"], &["ohms"]),
    si("S", 1.0, -3, &[(Gram, -1), (Metre, -2), (Second, 3), (Ampere, 2)], &[], &["siemens"]),
    si("F", 1.0, -3, &[(Gram, -1), (Metre, -2), (Second, 4), (Ampere, 2)], &[], &["farad", "farads"]),
    si("Wb", 1.0, 3, &[(Gram, 1), (Metre, 2), (Second, -2), (Ampere, -1)], &[], &["weber", "webers"]),
    si("T", 1.0, 3, &[(Gram, 1), (Second, -2), (Ampere, -1)], &[], &["tesla", "teslas"]),
    si("H", 1.0, 3, &[(Gram, 1), (Metre, 2), (Second, -2), (Ampere, -2)], &[], &["henry", "henries"]),
    si("lm", RAD * RAD, 0, &[(Candela, 1), (Arcsecond, 2)], &[], &["lumen", "lumens"]),
    si("lx", RAD * RAD, 0, &[(Candela, 1), (Arcsecond, 2), (Metre, -2)], &[], &["lux"]),
    // Angles.
    one("deg", 3600.0, 0, &[(Arcsecond, 1)], &["\u{b0}"], &["degree", "degrees"]),
    one("arcmin", 60.0, 0, &[(Arcsecond, 1)], &[], &["arcmins", "arcminute", "arcminutes"]),
    si("arcsec", 1.0, 0, &[(Arcsecond, 1)], &[], &["arcsecs", "arcsecond", "arcseconds"]),
    one("mas", 1.0, -3, &[(Arcsecond, 1)], &[], &[]),
    one("uas", 1.0, -6, &[(Arcsecond, 1)], &["\u{b5}as", "\u{3bc}as"], &[]),
    one("hourangle", 54_000.0, 0, &[(Arcsecond, 1)], &[], &["hms"]),
    // Times. The year is the Julian one.
    one("min", 60.0, 0, &[(Second, 1)], &[], &["mins", "minute", "minutes"]),
    one("h", 3600.0, 0, &[(Second, 1)], &[], &["hr", "hrs", "hour", "hours"]),
    one("d", 86_400.0, 0, &[(Second, 1)], &[], &["day", "days"]),
    si("yr", 31_557_600.0, 0, &[(Second, 1)], &["a"], &["yrs", "year", "years"]),
    // Energies, masses, lengths and fields.
    si("eV", 1.602176634, -16, ENERGY, &[], &["electronvolt", "electronvolts"]),
    one("erg", 1.0, -4, ENERGY, &[], &["ergs"]),
    si("Ry", 2.1798723611029988, -15, ENERGY, &[], &["rydberg"]),
    one("dyn", 1.0, -2, &[(Gram, 1), (Metre, 1), (Second, -2)], &[], &["dyne", "dynes"]),
    si("bar", 1.0, 8, &[(Gram, 1), (Metre, -1), (Second, -2)], &[], &["bars"]),
    one("solMass", 1.988409870698051, 33, &[(Gram, 1)], &["Msun"], &["m_sun", "msol"]),
    one("u", 1.66053906892, -24, &[(Gram, 1)], &[], &[]),
    one("solLum", 3.828, 29, &[(Gram, 1), (Metre, 2), (Second, -3)], &["Lsun"], &["l_sun", "lsol"]),
    one("solRad", 6.957, 8, &[(Metre, 1)], &["Rsun"], &["r_sun", "rsol"]),
    one("Sun", 1.0, 0, &[(Sun, 1)], &[], &[]),
    one("Angstrom", 1.0, -10, &[(Metre, 1)], &["angstrom", "AA", "Ang", "\u{c5}", "\u{212b}"],
        &["ang", "angs", "angstroms", "\u{e5}ngstr\u{f6}m", "\u{e5}ngstr\u{f6}ms"]),
    one("micron", 1.0, -6, &[(Metre, 1)], &[], &["microns"]),
    one("AU", AU, 0, &[(Metre, 1)], &["au"], &[]),
    one("lyr", 9_460_730_472_580_800.0, 0, &[(Metre, 1)], &[], &["lightyear", "lightyears"]),
    si("pc", AU * RAD, 0, &[(Metre, 1)], &[], &["parsec", "parsecs"]),
    si("G", 1.0, -1, &[(Gram, 1), (Second, -2), (Ampere, -1)], &[], &["gauss"]),
    one("D", 1.0 / 3.0, -29, &[(Ampere, 1), (Second, 1), (Metre, 1)], &[], &["debye"]),
    si("barn", 1.0, -28, &[(Metre, 2)], &[], &["barns"]),
    // Fluxes.
    si("Jy", 1.0, -23, &[(Gram, 1), (Second, -2)], &[], &["jansky", "janskys", "janskies"]),
    si("R", 1.0 / (4.0 * PI) / (RAD * RAD), 10, &[(Photon, 1), (Metre, -2), (Second, -1), (Arcsecond, -2)], &[],
        &["rayleigh", "rayleighs"]),
    si("mag", 1.0, 0, &[(Mag, 1)], &[], &["mags", "magnitude", "magnitudes"]),
    one("dex", 1.0, 0, &[(Dex, 1)], &[], &[]),
    one("dB", 1.0, 0, &[(Decibel, 1)], &[], &["decibel", "decibels"]),
    one("maggy", 1.0, 0, &[(Maggy, 1)], &["mgy"], &["maggies"]),
    one("nanomaggy", 1.0, -9, &[(Maggy, 1)], &["nmgy"], &["nanomaggies"]),
    // Events and their places. DN is what some call ADU.
    one("adu", 1.0, 0, &[(Adu, 1)], &[], &["dn", "dns", "adus"]),
    one("electron", 1.0, 0, &[(Electron, 1)], &["e"], &["e", "electrons", "photoelectron", "photoelectrons"]),
    one("count", 1.0, 0, &[(Count, 1)], &["ct"], &["counts", "cts", "cnt", "cnts"]),
    one("photon", 1.0, 0, &[(Photon, 1)], &["ph"], &["photons"]),
    one("pixel", 1.0, 0, &[(Pixel, 1)], &["pix"], &["pixels", "pixs"]),
    one("beam", 1.0, 0, &[(Beam, 1)], &[], &["beams"]),
    one("bin", 1.0, 0, &[(Bin, 1)], &[], &["bins"]),
    one("chan", 1.0, 0, &[(Channel, 1)], &[], &["chans", "channel", "channels"]),
    one("voxel", 1.0, 0, &[(Voxel, 1)], &["vox"], &["voxels"]),
    si("bit", 1.0, 0, &[(Bit, 1)], &[], &["bits"]),
    si("byte", 8.0, 0, &[(Bit, 1)], &[], &["bytes"]),
    one("%", 1.0, -2, &[], &[], &["percent"]),
];

type Dims = &'static [(Dim, i64)];
type Words = &'static [&'static str];

/// A unit with prefixes.
const fn si(symbol: &'static str, mantissa: f64, exponent: i64, dims: Dims, also: Words, names: Words) -> Entry {
    Entry { symbol, mantissa, exponent, dims, prefixed: true, also, names }
}

/// A unit without.
const fn one(symbol: &'static str, mantissa: f64, exponent: i64, dims: Dims, also: Words, names: Words) -> Entry {
    Entry { symbol, mantissa, exponent, dims, prefixed: false, also, names }
}

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Unit(Named),
    /// A word for no unit at all.
    Nothing,
}

/// The words around a word that change what its letters mean.
#[derive(Clone, Copy, Default)]
pub(super) struct Context {
    /// All is written in capitals, units that have small letters too: `S` is a second, `A` an Angstrom.
    capitals: bool,
    /// There are photons, their energies or their counts: `A` is an Angstrom.
    light: bool,
}

impl Context {
    pub(super) fn of(text: &str) -> Context {
        let mut context = Context::default();
        let mut foreign_capitals = false;
        let mut start = 0;
        for word in text.split(|c| !is_word_char(c)) {
            let exponent =
                matches!(word, "e" | "E") && text[..start].ends_with(|c: char| c.is_ascii_digit() || c == '.');
            if !exponent && !word.is_empty() {
                let standard = exact(word);
                let known = standard.or_else(|| any_case(word));
                context.light |= known.is_some_and(|named| named.is_light());
                foreign_capitals |= standard.is_none() && known.is_some();
            }
            start += word.len();
            start += text[start..].chars().next().map_or(0, char::len_utf8);
        }
        context.capitals = foreign_capitals && !text.contains(char::is_lowercase);
        context
    }
}

impl Named {
    pub(super) fn entry(self) -> &'static Entry {
        &ENTRIES[self.index]
    }

    pub(super) fn prefix_symbol(self) -> &'static str {
        PREFIXES.iter().find(|p| p.0 == self.prefix).map_or("", |p| p.1)
    }

    /// What stands beside an Angstrom and never beside an ampere.
    pub(super) fn is_light(self) -> bool {
        matches!(self.entry().symbol, "erg" | "photon" | "electron" | "count" | "adu")
    }

    /// An unmistakable name of a unit whose symbol is read as another in some company.
    pub(super) fn long_name(self) -> Option<&'static str> {
        match (self.prefix, self.entry().symbol) {
            (0, "A") => Some("ampere"),
            (0, "S") => Some("siemens"),
            (0, "C") => Some("coulomb"),
            _ => None,
        }
    }
}

/// What a word is made of.
pub(super) fn is_word_char(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | '%' | '\u{b0}')
}

/// What a word means; `None` if nobody knows.
pub(super) fn look_up(word: &str, context: Context) -> Option<Word> {
    // No name is longer; a word of a megabyte is not worth a search.
    if word.len() > 32 {
        return None;
    }
    let word = match word {
        "S" if context.capitals => "s",
        "A" if context.capitals || context.light => "Angstrom",
        other => other,
    };
    match exact(word).or_else(|| any_case(word)) {
        Some(named) => Some(Word::Unit(named)),
        None => DIMENSIONLESS.iter().any(|name| name.eq_ignore_ascii_case(word)).then_some(Word::Nothing),
    }
}

/// A symbol, with or without prefix, in its own case.
fn exact(word: &str) -> Option<Named> {
    let symbol = |word: &str| ENTRIES.iter().position(|e| e.symbol == word || e.also.contains(&word));
    if let Some(index) = symbol(word) {
        return Some(Named { index, prefix: 0 });
    }
    PREFIXES.iter().find_map(|&(prefix, sign, _)| {
        let index = symbol(word.strip_prefix(sign)?)?;
        ENTRIES[index].prefixed.then_some(Named { index, prefix })
    })
}

/// A name in any case, or a symbol that stays one unit whatever its case.
fn any_case(word: &str) -> Option<Named> {
    if word.len() > 32 {
        return None;
    }
    let lower = word.to_lowercase();
    let name = |word: &str| ENTRIES.iter().position(|e| e.names.contains(&word));
    if let Some(index) = name(&lower) {
        return Some(Named { index, prefix: 0 });
    }
    let prefixed_name = PREFIXES.iter().filter(|p| !p.2.is_empty()).find_map(|&(prefix, _, long)| {
        let index = name(lower.strip_prefix(long)?)?;
        ENTRIES[index].prefixed.then_some(Named { index, prefix })
    });
    prefixed_name.or_else(|| case_folded(word))
}

/// Symbols of one letter are told apart by their case, so only words in capitals may be prefix and letter (`CM`, `KM`);
/// and of several units (`MJY`) none is taken.
fn case_folded(word: &str) -> Option<Named> {
    // Nothing else in FITS is an m in another case.
    let single = word.chars().nth(1).is_none();
    if single && word != "M" {
        return None;
    }
    let same = |e: &Entry, word: &str| {
        e.symbol.eq_ignore_ascii_case(word) || e.also.iter().any(|symbol| symbol.eq_ignore_ascii_case(word))
    };
    if let Some(index) = ENTRIES.iter().position(|e| same(e, word)) {
        return Some(Named { index, prefix: 0 });
    }
    let capitals = word.chars().all(|c| c.is_ascii_uppercase());
    let mut found = None;
    for &(prefix, sign, _) in &PREFIXES {
        let Some((start, rest)) = word.split_at_checked(sign.len()) else { continue };
        if !start.eq_ignore_ascii_case(sign) || !(capitals || rest.len() > 1) {
            continue;
        }
        for (index, _) in ENTRIES.iter().enumerate().filter(|(_, e)| e.prefixed && same(e, rest)) {
            let named = Named { index, prefix };
            match found {
                None => found = Some(named),
                Some(other) if other == named => {}
                Some(_) => return None,
            }
        }
    }
    found
}

/// Every unit with every prefix that it takes.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = Named> {
    ENTRIES.iter().enumerate().flat_map(|(index, e)| {
        let prefixes = PREFIXES.iter().map(|p| p.0).filter(|_| e.prefixed);
        std::iter::once(0).chain(prefixes).map(move |prefix| Named { index, prefix })
    })
}
