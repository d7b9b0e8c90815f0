//! From the cards of a header to what computes. Where a header leaves a choice, it is read as WCSLIB does.

use fitsy::wcs::celestial::CelestialRotation;
use fitsy::wcs::distortion::tpv::TpvAxis;
use fitsy::wcs::{Grism, Projection, SpectralAlgorithm, SpectralAxis, SpectralKind, Tnx, Tpv};

use super::bad;
use super::keys::{self, Kind, Linear, MAX_ORDER, all, real, text};
use super::solution::{Celestial, Curve, Sip, Solution, Warp, inverted};
use super::units::{Measure, degrees};
use crate::Result;
use crate::error::escape;
use crate::fits::{Header, Value};

/// The highest index of a PV card that a projection has.
const PV: usize = 40;

/// What CTYPE says of an axis.
enum Type<'a> {
    Linear,
    Log,
    /// Prefix and projection.
    Celestial(&'a str, &'a str),
    /// Type and algorithm.
    Spectral(&'a str, Option<&'a str>),
}

/// CTYPE is `TYPE`, `TYPE-ALG` or `TYPE-ALG-XYZ`.
fn classify(i: usize, ctype: &str) -> Result<Type<'_>> {
    let refuse = |why: &str| bad(format!("CTYPE{i} = '{}': {why}", escape(ctype)));
    if !ctype.is_ascii() {
        return Err(refuse("not ASCII"));
    }
    match ctype {
        "CUBEFACE" => return Err(refuse("the faces of a cube on an axis are not supported")),
        "MULTISPE" => return Err(refuse("IRAF's multispec coordinates are not supported")),
        "FELO" => return Ok(Type::Spectral("VOPT", Some("F2W"))),
        _ if Measure::of(ctype).is_some() => return Ok(Type::Spectral(ctype, None)),
        _ => {}
    }
    if ctype.len() < 8 || ctype.as_bytes()[4] != b'-' {
        return Ok(Type::Linear);
    }
    let (head, code, rest) = (&ctype[..4], ctype[5..8].trim_end(), &ctype[8..]);
    let head = head.trim_end_matches('-');
    if !(rest.is_empty() || rest == "-SIP") {
        return Err(refuse("this distortion is not supported"));
    }
    // The convention of AIPS: velocities that are called VELO but are optical, and FELO, which is linear in frequency.
    if ["LSR", "HEL", "OBS"].contains(&code) && rest.is_empty() {
        match head {
            "FREQ" | "VELO" => return Ok(Type::Spectral(head, None)),
            "FELO" => return Ok(Type::Spectral("VOPT", Some("F2W"))),
            _ => {}
        }
    }
    match code {
        "TAB" => Err(refuse("coordinates in a table (-TAB) are not supported")),
        "DSS" => Err(refuse("the plate solution of the Digitized Sky Survey is not supported")),
        "ZPX" => Err(refuse("IRAF's ZPX is not supported")),
        "LOG" if !is_celestial(head) => Ok(Type::Log),
        _ if is_celestial(head) => Ok(Type::Celestial(head, code)),
        _ if head != "FELO" && Measure::of(head).is_some() => Ok(Type::Spectral(head, Some(code))),
        _ => Err(refuse("unknown algorithm")),
    }
}

fn is_celestial(prefix: &str) -> bool {
    partner(prefix).is_some()
        || prefix == "DEC"
        || prefix.ends_with("LAT")
        || prefix.len() == 4 && prefix.ends_with("LT")
}

/// The latitude that goes with a longitude.
fn partner(prefix: &str) -> Option<String> {
    match prefix {
        "RA" => Some("DEC".into()),
        _ if prefix.len() == 4 && prefix.ends_with("LON") => Some(format!("{}LAT", &prefix[..1])),
        _ if prefix.len() == 4 && prefix.ends_with("LN") => Some(format!("{}LT", &prefix[..2])),
        _ => None,
    }
}

/// Longitude axis, latitude axis and projection.
fn pair(types: &[Type<'_>], ctype: &[String]) -> Result<Option<(usize, usize, String)>> {
    let named = |i: usize| format!("CTYPE{} = '{}'", i + 1, escape(&ctype[i]));
    let axes: Vec<(usize, &str, &str)> = types
        .iter()
        .enumerate()
        .filter_map(|(i, t)| if let Type::Celestial(p, code) = t { Some((i, *p, *code)) } else { None })
        .collect();
    let Some(&(first, ..)) = axes.first() else { return Ok(None) };
    let [(i, p, code), (j, q, other)] = axes[..] else {
        return Err(bad(format!("{}: {} celestial axes, where there must be two", named(first), axes.len())));
    };
    let (lon, lat) = if partner(p).as_deref() == Some(q) {
        (i, j)
    } else if partner(q).as_deref() == Some(p) {
        (j, i)
    } else {
        return Err(bad(format!("{} and {} are no pair of longitude and latitude", named(i), named(j))));
    };
    if code != other {
        return Err(bad(format!("{} and {} have different projections", named(i), named(j))));
    }
    Ok(Some((lon, lat, code.to_string())))
}

/// The pair of longitude and latitude, for CROTA.
pub(super) fn rotated(cards: &Header, n: usize) -> Result<Option<(usize, usize)>> {
    let ctype = ctypes(cards, n)?;
    let types = (1..).zip(&ctype).map(|(i, t)| classify(i, t)).collect::<Result<Vec<_>>>()?;
    Ok(pair(&types, &ctype)?.map(|(lon, lat, _)| (lon, lat)))
}

fn ctypes(cards: &Header, n: usize) -> Result<Vec<String>> {
    (1..=n).map(|i| text(cards, &format!("CTYPE{i}"))).collect()
}

/// How many pixel axes the image of a header has, if it says so.
pub(super) fn image_axes(header: &Header) -> Result<Option<usize>> {
    match header.get("NAXIS") {
        None => Ok(None),
        Some(Value::Integer(0)) => Ok(None),
        Some(Value::Integer(n)) if (1..=999).contains(&n) => Ok(Some(n as usize)),
        Some(_) => Err(bad("NAXIS is no number of axes")),
    }
}

/// Reads the primary description; `None` where there is none.
pub(super) fn read(cards: &Header, image: Option<usize>) -> Result<Option<Solution>> {
    let refused = all(cards).find(|(_, k, _)| *k == Kind::Refused);
    if !all(cards).any(|(_, k, alt)| alt.is_empty() && k.is_essential()) && refused.is_none() {
        return Ok(None);
    }
    if let Some((key, ..)) = refused {
        return Err(bad(match key.as_str() {
            "AMDX1" => "AMDX1: the plate solution of the Digitized Sky Survey is not supported".to_string(),
            "AXISCORR" => "AXISCORR: a distortion by lookup table is not supported".to_string(),
            _ if key.starts_with("PC") || key.starts_with("CD") => format!("{key}: a matrix in the form of old drafts"),
            _ => format!("{key}: a distortion by lookup table is not supported"),
        }));
    }
    let n = keys::axes(cards, "", image.unwrap_or(0))?;
    let ctype = ctypes(cards, n)?;
    let types = (1..).zip(&ctype).map(|(i, t)| classify(i, t)).collect::<Result<Vec<_>>>()?;
    let sky = pair(&types, &ctype)?;
    let linear = Linear::read(cards, "", n, sky.as_ref().map(|s| (s.0, s.1)))?;
    let mut matrix: Vec<f64> = (0..n * n).map(|k| linear.cdelt[k / n] * linear.matrix[k]).collect();
    let mut crval = Vec::with_capacity(n);
    let (mut units, mut names) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for i in 0..n {
        let cunit = text(cards, &format!("CUNIT{}", i + 1))?;
        let refuse = || bad(format!("CUNIT{} = '{}' is no unit of {}", i + 1, escape(&cunit), escape(&ctype[i])));
        let (factor, unit) = match &types[i] {
            Type::Celestial(..) => (degrees(&cunit).ok_or_else(refuse)?, "deg".to_string()),
            Type::Spectral(code, _) => {
                let measure = Measure::of(code).ok_or_else(refuse)?;
                (measure.factor(&cunit).ok_or_else(refuse)?, measure.unit().to_string())
            }
            Type::Log => match Measure::of(&ctype[i][..4]) {
                Some(m) => (m.factor(&cunit).ok_or_else(refuse)?, m.unit().to_string()),
                None => (1.0, cunit),
            },
            Type::Linear => (1.0, cunit),
        };
        matrix[i * n..(i + 1) * n].iter_mut().for_each(|m| *m *= factor);
        crval.push(real(cards, &format!("CRVAL{}", i + 1))?.unwrap_or(0.0) * factor);
        units.push(unit);
        names.push(text(cards, &format!("CNAME{}", i + 1))?);
    }
    let inverse = inverted(&matrix, n).ok_or_else(|| {
        bad(format!("{} is singular", if linear.form == keys::Form::Cd { "CDi_j" } else { "PCi_j with CDELTi" }))
    })?;
    let rest = [positive(cards, &["RESTFRQ", "RESTFREQ"])?, positive(cards, &["RESTWAV"])?];
    let mut curves = Vec::with_capacity(n);
    for (i, t) in types.iter().enumerate() {
        curves.push(match t {
            Type::Linear | Type::Celestial(..) | Type::Spectral(_, None) => Curve::Linear,
            Type::Log => Curve::Log,
            Type::Spectral(code, Some(algorithm)) => {
                Curve::Spectral(Box::new(spectral(cards, i, code, algorithm, crval[i], rest, &ctype[i])?))
            }
        });
    }
    let mut sip = sip(cards, n)?;
    let celestial = match sky {
        None => None,
        Some((lon, lat, code)) => Some(celestial(cards, lon, lat, &code, &ctype, &crval, &mut sip)?),
    };
    if let Some(Celestial { lon, lat, warp: Some(_), .. }) = celestial {
        // WCSLIB has these polynomials in front of CDELT, where their definition has degrees.
        for i in [lon, lat] {
            let cunit = text(cards, &format!("CUNIT{}", i + 1))?;
            if linear.cdelt[i] != 1.0 || degrees(&cunit) != Some(1.0) {
                let ctype = escape(&ctype[i]);
                return Err(bad(format!("CTYPE{0} = '{ctype}': readers agree only on CD in degrees", i + 1)));
            }
        }
    }
    Ok(Some(Solution { n, crpix: linear.crpix, matrix, inverse, crval, curves, celestial, sip, ctype, units, names }))
}

fn positive(cards: &Header, keys: &[&str]) -> Result<Option<f64>> {
    for key in keys {
        if let Some(v) = real(cards, key)? {
            return Ok(Some(v).filter(|&v| v > 0.0));
        }
    }
    Ok(None)
}

/// An axis that is not linear in its own type.
fn spectral(
    cards: &Header,
    i: usize,
    code: &str,
    algorithm: &str,
    crval: f64,
    [frequency, wavelength]: [Option<f64>; 2],
    ctype: &str,
) -> Result<SpectralAxis> {
    let refuse = |why: &str| bad(format!("CTYPE{} = '{}': {why}", i + 1, escape(ctype)));
    let kind = SpectralKind::from_code(code).ok_or_else(|| refuse("unknown type"))?;
    let known = SpectralAlgorithm::from_code(algorithm).filter(|_| algorithm.bytes().all(|b| !b.is_ascii_lowercase()));
    let known = known.ok_or_else(|| refuse("unknown algorithm"))?;
    // The last letter is the variable that the type is proportional to.
    let variable = match code {
        "FREQ" | "ENER" | "WAVN" | "VRAD" => "F",
        "WAVE" | "VOPT" | "ZOPT" => "W",
        "AWAV" => "A",
        _ => "V",
    };
    let grism = match known {
        SpectralAlgorithm::Linear(_) if !algorithm.ends_with(variable) => {
            return Err(refuse("the algorithm does not go with the type"));
        }
        SpectralAlgorithm::Grism { .. } => {
            let d = Grism::default();
            let pv = |m: usize, default: f64| -> Result<f64> {
                Ok(real(cards, &format!("PV{}_{m}", i + 1))?.unwrap_or(default))
            };
            Some(Grism {
                density: pv(0, d.density)?,
                order: pv(1, d.order)?,
                alpha: pv(2, d.alpha)?,
                n_r: pv(3, d.n_r)?,
                n_r_prime: pv(4, d.n_r_prime)?,
                epsilon: pv(5, d.epsilon)?,
                theta: pv(6, d.theta)?,
            })
        }
        _ => None,
    };
    SpectralAxis::new(i, kind, Some(known), crval, "", frequency, wavelength, grism).map_err(|e| refuse(&e.to_string()))
}

/// The PV cards of an axis that are there.
fn pv(cards: &Header, axis: usize) -> Result<[Option<f64>; PV]> {
    let mut out = [None; PV];
    for (m, v) in out.iter_mut().enumerate() {
        *v = real(cards, &format!("PV{}_{m}", axis + 1))?;
    }
    Ok(out)
}

fn celestial(
    cards: &Header,
    lon: usize,
    lat: usize,
    code: &str,
    ctype: &[String],
    crval: &[f64],
    sip: &mut Option<Sip>,
) -> Result<Celestial> {
    let refuse = |why: &str| bad(format!("CTYPE{} = '{}': {why}", lon + 1, escape(&ctype[lon])));
    let (mut of_lon, mut of_lat) = (pv(cards, lon)?, pv(cards, lat)?);
    let (mut code, suffix) = (code, ctype[lon].len() > 8 || ctype[lat].len() > 8);
    // SCAMP before 2012 wrote TPV as TAN.
    let many = of_lon[5..].iter().chain(&of_lat[5..]).any(Option::is_some);
    if code == "TAN" && many {
        match (suffix, &sip) {
            (false, _) => code = "TPV",
            (true, Some(_)) => (of_lon, of_lat) = ([None; PV], [None; PV]),
            (true, None) => return Err(refuse("the polynomial of PV cards, but CTYPE says SIP")),
        }
    }
    let mut warp = None;
    // In a distortion the indices of PV are those of its terms.
    let mut fixed = of_lon;
    let mut plane = [0.0; PV];
    let defaults: &[(usize, f64)] = match code {
        "SZP" => &[(3, 90.0)],
        "CYP" => &[(1, 1.0), (2, 1.0)],
        "CEA" => &[(1, 1.0)],
        "AIR" => &[(1, 90.0)],
        "HPX" => &[(1, 4.0), (2, 3.0)],
        _ => &[],
    };
    for &(m, v) in defaults {
        plane[m] = v;
    }
    for (p, v) in plane.iter_mut().zip(&of_lat) {
        *p = v.unwrap_or(*p);
    }
    let projection = match code {
        "TPV" => {
            if suffix {
                return Err(refuse("two distortions"));
            }
            *sip = None;
            // WCSLIB has 0 where the registry has 1, and takes PV1 for the longitude though it is the second axis.
            if of_lon[1].is_none() || of_lat[1].is_none() {
                return Err(refuse("without PVi_1 readers disagree"));
            }
            if lon > lat {
                return Err(refuse("with the latitude first readers disagree"));
            }
            let axis = |axis: u8, pv: &[Option<f64>; PV]| {
                let terms: Vec<(u32, f64)> = (0..).zip(pv).filter_map(|(m, v)| v.map(|v| (m, v))).collect();
                TpvAxis::from_pv_pairs(axis, &terms).map_err(|e| refuse(&e.to_string()))
            };
            warp = Some(Warp::Tpv(Box::new(Tpv { pv1: axis(1, &of_lon)?, pv2: axis(2, &of_lat)? })));
            fixed = [None; PV];
            Projection::default()
        }
        "TNX" => {
            let surfaces = [lon, lat].map(|axis| wat(cards, axis + 1));
            let [of_lon, of_lat] = surfaces.each_ref().map(|s| Some(s.as_str()));
            let tnx = Tnx::from_wat_strings(of_lon, of_lat).map_err(|e| refuse(&e.to_string()))?;
            warp = tnx.map(|t| Warp::Tnx(Box::new(t)));
            fixed = [None; PV];
            Projection::default()
        }
        "NCP" => {
            // The old name of SIN projected towards the pole.
            let (sin, cos) = crval[lat].to_radians().sin_cos();
            Projection::from_code("SIN", &[0.0, 0.0, cos / sin]).map_err(|e| refuse(&e.to_string()))?
        }
        "GLS" => {
            // The old name of SFL with its reference point off the equator.
            fixed[..3].copy_from_slice(&[Some(1.0), Some(0.0), Some(crval[lat])]);
            Projection::from_code("SFL", &[]).map_err(|e| refuse(&e.to_string()))?
        }
        _ if code.bytes().any(|b| b.is_ascii_lowercase()) => return Err(refuse("unknown projection")),
        "COP" | "COE" | "COD" | "COO" | "BON" if of_lat[1].is_none() => {
            return Err(refuse(&format!("without PV{}_1", lat + 1)));
        }
        "ZPN" if of_lat.iter().all(Option::is_none) => return Err(refuse(&format!("without PV{}_m", lat + 1))),
        "HPX" if !plane[1..3].iter().all(|v| (1.0..=1e6).contains(v) && v.fract() == 0.0) => {
            return Err(refuse(&format!("PV{0}_1 and PV{0}_2 are no numbers of facets", lat + 1)));
        }
        _ => Projection::from_code(code, &plane[..30]).map_err(|e| refuse(&e.to_string()))?,
    };
    let phi0 = fixed[1].unwrap_or(0.0);
    let theta0 = fixed[2].unwrap_or_else(|| projection.theta0());
    let pole = |m: usize, key: &str| -> Result<Option<f64>> { Ok(fixed[m].or(real(cards, key)?)) };
    let (lonpole, latpole) = (pole(3, "LONPOLE")?, pole(4, "LATPOLE")?);
    let rotation = CelestialRotation::new(crval[lon], crval[lat], lonpole, latpole, phi0, theta0)
        .map_err(|e| refuse(&e.to_string()))?;
    let shifted = fixed[0].is_some_and(|v| v != 0.0) && (fixed[1].is_some() || fixed[2].is_some());
    let offset = if shifted { projection.s2x(phi0, theta0).map_err(|e| refuse(&e.to_string()))? } else { (0.0, 0.0) };
    Ok(Celestial { lon, lat, projection, rotation, offset, warp })
}

/// What the WAT cards of an axis say together. A piece has 68 characters, blanks at its end included, which may stand in
/// the middle of a number.
fn wat(cards: &Header, axis: usize) -> String {
    let pieces = (1..=999).map_while(|k| match cards.get(&format!("WAT{axis}_{k:03}")) {
        Some(Value::Text(piece)) => Some(format!("{piece:68}")),
        _ => None,
    });
    pieces.collect()
}

/// The orders of a pair of SIP polynomials, `None` where there is none.
fn orders(cards: &Header, names: [&str; 2]) -> Result<Option<[usize; 2]>> {
    let mut orders = [0; 2];
    for (order, name) in orders.iter_mut().zip(names) {
        let key = format!("{name}_ORDER");
        *order = match cards.get(&key) {
            None => 0,
            Some(Value::Integer(m)) if (0..=MAX_ORDER as i64).contains(&m) => m as usize,
            Some(_) => return Err(bad(format!("{key} is no order from 0 to {MAX_ORDER}"))),
        };
    }
    match orders {
        [0 | 1, 0 | 1] => Ok(None),
        [0, _] => Err(bad(format!("{}_ORDER without {}_ORDER", names[1], names[0]))),
        [_, 0] => Err(bad(format!("{}_ORDER without {}_ORDER", names[0], names[1]))),
        _ => Ok(Some(orders)),
    }
}

/// SIP is used wherever its cards are, though CTYPE may not say so, as astropy does.
fn sip(cards: &Header, n: usize) -> Result<Option<Sip>> {
    let Some(orders) = orders(cards, ["A", "B"])? else { return Ok(None) };
    if n < 2 || !cards.contains("CRPIX1") || !cards.contains("CRPIX2") {
        return Err(bad("SIP (A_ORDER) without CRPIX1 and CRPIX2"));
    }
    let terms = |name: &str, order: usize| -> Result<Vec<(i32, i32, f64)>> {
        let mut terms = Vec::new();
        for p in 0..=order {
            for q in 0..=order - p {
                match real(cards, &format!("{name}_{p}_{q}"))? {
                    Some(c) if c != 0.0 => terms.push((p as i32, q as i32, c)),
                    _ => {}
                }
            }
        }
        Ok(terms)
    };
    Ok(Some(Sip { a: terms("A", orders[0])?, b: terms("B", orders[1])? }))
}
