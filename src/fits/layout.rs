//! Which HDUs belong together: the science image, its uncertainty, its mask, and further planes.
//!
//! Observatories name the planes differently ([`Layout`]); the rules are one. Planes go together by EXTVER; where EXTVER
//! is missing, by order: the n-th science image with the n-th plane of a name if there are as many of both, else with the
//! one that stands between it and the next. An image in the primary is an extension like any other, and takes a plane
//! that no other claims. In a file without science images by name every image is one. Other named images go with the
//! science image of their EXTVER, or with the only one that there is. What is left is carried.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::scan::{Hdu, HduKind};

/// How the planes of an image are named in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// What the names in the file say.
    #[default]
    Auto,
    /// SCI, VAR, DQ (DRAGONS).
    Gemini,
    /// SCI, ERR (standard deviation), DQ.
    Hst,
    /// As HST; VAR_POISSON, VAR_RNOISE and the like are further planes.
    Jwst,
    /// An image in the primary; MASK; UNCERT, whose kind is in UTYPE (astropy's CCDData).
    Ccddata,
    /// IMAGE, MASK, VARIANCE (LSST afw).
    Lsst,
    /// Every image is an extension of its own.
    Plain,
}

impl Layout {
    /// All, by the names that the command line knows.
    pub const ALL: [Layout; 7] =
        [Layout::Auto, Layout::Gemini, Layout::Hst, Layout::Jwst, Layout::Ccddata, Layout::Lsst, Layout::Plain];

    /// As the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Auto => "auto",
            Layout::Gemini => "gemini",
            Layout::Hst => "hst",
            Layout::Jwst => "jwst",
            Layout::Ccddata => "ccddata",
            Layout::Lsst => "lsst",
            Layout::Plain => "plain",
        }
    }

    /// Name of the science images; uncertainties, the first that is there counts; the mask.
    fn names(self) -> Option<(&'static str, &'static [&'static str], &'static str)> {
        match self {
            Layout::Auto | Layout::Plain => None,
            Layout::Gemini => Some(("SCI", &["VAR", "ERR", "UNCERT"], "DQ")),
            Layout::Hst | Layout::Jwst => Some(("SCI", &["ERR", "VAR", "UNCERT"], "DQ")),
            // No image has this name: the one in the primary is the science image.
            Layout::Ccddata => Some(("", &["UNCERT"], "MASK")),
            Layout::Lsst => Some(("IMAGE", &["VARIANCE"], "MASK")),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the numbers of an uncertainty are (astropy's names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UncertaintyKind {
    /// sigma.
    StdDev,
    /// sigma squared.
    Variance,
    /// 1 / sigma squared.
    InverseVariance,
    /// Nobody knows; kept and written, not propagated.
    Unknown,
}

impl UncertaintyKind {
    /// As UTYPE says it.
    pub fn name(self) -> &'static str {
        match self {
            UncertaintyKind::StdDev => "StdDevUncertainty",
            UncertaintyKind::Variance => "VarianceUncertainty",
            UncertaintyKind::InverseVariance => "InverseVariance",
            UncertaintyKind::Unknown => "UnknownUncertainty",
        }
    }

    /// By the name of the plane and, where that leaves it open, its UTYPE.
    fn of(hdu: &Hdu) -> Self {
        let name = hdu.name.as_deref().unwrap_or_default().to_ascii_uppercase();
        match name.as_str() {
            "VAR" | "VARIANCE" => UncertaintyKind::Variance,
            "ERR" => UncertaintyKind::StdDev,
            _ => match hdu.header.get_str("UTYPE").unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                "variance" | "varianceuncertainty" | "var" => UncertaintyKind::Variance,
                "inversevariance" | "ivar" => UncertaintyKind::InverseVariance,
                // Before UTYPE was written, CCDData knew standard deviations alone.
                "" | "stddevuncertainty" | "std" => UncertaintyKind::StdDev,
                _ => UncertaintyKind::Unknown,
            },
        }
    }
}

/// The HDUs of one extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Index of the science image.
    pub sci: usize,
    /// Index and kind of its uncertainty.
    pub uncertainty: Option<(usize, UncertaintyKind)>,
    /// Index of its mask.
    pub mask: Option<usize>,
    /// Further image planes.
    pub other: Vec<usize>,
}

/// What belongs together in a file.
#[derive(Clone, Debug)]
pub(crate) struct Association {
    /// The one that was asked for, or that was found.
    pub layout: Layout,
    /// The extensions, in file order.
    pub groups: Vec<Group>,
    /// All other HDUs but an empty primary.
    pub carried: Vec<usize>,
}

fn named(hdu: &Hdu, name: &str) -> bool {
    hdu.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name))
}

/// Why a file's planes cannot be told apart: a plane is a table, or two planes have one name.
pub(crate) fn contradiction(hdus: &[Hdu], layout: Layout) -> Option<(usize, String)> {
    if layout == Layout::Plain {
        return None;
    }
    let layout = resolve(hdus, layout);
    if layout == Layout::Plain && !hdus.iter().any(|h| named(h, "SCI")) {
        return None;
    }
    let mut names = vec!["SCI", "VAR", "DQ"];
    if let Some((sci, uncertainty, mask)) = layout.names() {
        names.extend([sci, mask].into_iter().chain(uncertainty.iter().copied()).filter(|n| !n.is_empty()));
    }
    let mut seen: HashMap<(&str, i64), usize> = HashMap::new();
    for h in hdus {
        let Some(name) = names.iter().find(|n| named(h, n)) else { continue };
        if matches!(h.kind, HduKind::AsciiTable | HduKind::BinTable) {
            return Some((h.index, format!("{name} is a table; an image was expected")));
        }
        let Some(ver) = h.ver.filter(|_| h.has_pixels()) else { continue };
        if let Some(first) = seen.insert((name, ver), h.index) {
            return Some((h.index, format!("{name},{ver} is there twice; the first is HDU {first}")));
        }
    }
    None
}

/// The layout that the names in a file say.
fn resolve(hdus: &[Hdu], asked: Layout) -> Layout {
    if asked != Layout::Auto {
        return asked;
    }
    let names: HashSet<String> =
        hdus.iter().filter(|h| h.has_pixels()).filter_map(|h| Some(h.name.as_ref()?.to_ascii_uppercase())).collect();
    let has = |name: &str| names.contains(name);
    let primary = hdus.iter().find(|h| h.has_pixels()).filter(|h| of_primary(h));
    // A MASK of another shape is somebody else's.
    let fits = |name: &str| hdus.iter().any(|h| named(h, name) && primary.is_some_and(|p| p.shape == h.shape));
    if has("SCI") {
        match has("ERR") && !has("VAR") {
            true if has("VAR_POISSON") || has("VAR_RNOISE") => Layout::Jwst,
            true => Layout::Hst,
            false => Layout::Gemini,
        }
    } else if has("IMAGE") && (has("MASK") || has("VARIANCE")) {
        Layout::Lsst
    } else if fits("UNCERT") || fits("MASK") {
        Layout::Ccddata
    } else if primary.is_some() && (has("VAR") || has("DQ")) {
        Layout::Gemini
    } else {
        Layout::Plain
    }
}

/// What belongs together, in file order.
pub(crate) fn associate(hdus: &[Hdu], layout: Layout) -> Association {
    let layout = resolve(hdus, layout);
    let images: Vec<&Hdu> = hdus.iter().filter(|h| h.has_pixels()).collect();
    let mut groups: Vec<Group> = science(&images, layout)
        .into_iter()
        .map(|h| Group { sci: h.index, uncertainty: None, mask: None, other: Vec::new() })
        .collect();
    if let Some((_, uncertainties, mask)) = layout.names() {
        for name in uncertainties {
            for (g, found) in companions(hdus, &groups, &images, name).into_iter().enumerate() {
                let found = found.map(|i| (i, UncertaintyKind::of(&hdus[i])));
                groups[g].uncertainty = groups[g].uncertainty.or(found);
            }
        }
        for (g, found) in companions(hdus, &groups, &images, mask).into_iter().enumerate() {
            groups[g].mask = found;
        }
    }
    let mut used: HashSet<usize> =
        groups.iter().flat_map(|g| [Some(g.sci), g.uncertainty.map(|u| u.0), g.mask]).flatten().collect();
    let by_ver: HashMap<i64, usize> =
        groups.iter().enumerate().rev().filter_map(|(g, group)| Some((hdus[group.sci].ver?, g))).collect();
    for image in &images {
        let name = image.name.as_deref().unwrap_or_default();
        if used.contains(&image.index) || name.is_empty() {
            continue;
        }
        let of_ver = image.ver.and_then(|v| by_ver.get(&v).copied());
        // Where there is one, what says no EXTVER can only be its.
        let alone = || groups.len() == 1 && (image.ver.is_none() || hdus[groups[0].sci].ver.is_none());
        let Some(g) = of_ver.or_else(|| alone().then_some(0)) else { continue };
        // What has another shape belongs to more than one image, as tables of distortions do.
        if layout == Layout::Ccddata || image.shape == hdus[groups[g].sci].shape {
            groups[g].other.push(image.index);
            used.insert(image.index);
        }
    }
    let empty = |h: &&Hdu| h.index == 0 && h.kind == HduKind::Image && !h.has_pixels();
    let carried = hdus.iter().filter(|h| !used.contains(&h.index) && !empty(h)).map(|h| h.index).collect();
    Association { layout, groups, carried }
}

/// Whether this is the image of the primary, be it packed: then a table of an extension holds it, and says so.
pub(super) fn of_primary(hdu: &Hdu) -> bool {
    hdu.index == 0 || hdu.kind == HduKind::CompressedImage && hdu.header.get_bool("ZSIMPLE") == Some(true)
}

/// The science images.
fn science<'a>(images: &[&'a Hdu], layout: Layout) -> Vec<&'a Hdu> {
    let Some((sci, uncertainties, mask)) = layout.names() else { return images.to_vec() };
    let primary = images.first().copied().filter(|h| of_primary(h)).map(|h| h.index);
    let companion = |h: &Hdu| named(h, mask) || uncertainties.iter().any(|n| named(h, n));
    let anonymous = |h: &Hdu| primary == Some(h.index) || h.name.as_deref().is_none_or(str::is_empty);
    let of_name = |h: &Hdu| !sci.is_empty() && named(h, sci);
    let any = images.iter().any(|h| of_name(h));
    let is_science = |h: &&&Hdu| match layout {
        Layout::Ccddata if primary.is_some() => primary == Some(h.index),
        Layout::Lsst if any => of_name(h) || primary == Some(h.index),
        _ if any => of_name(h) || anonymous(h),
        // Without a name to go by and without a primary image, companions are images like others.
        _ => primary.is_none() || !companion(h),
    };
    images.iter().filter(is_science).copied().collect()
}

/// For each extension the image of this name that belongs to it.
fn companions(hdus: &[Hdu], groups: &[Group], images: &[&Hdu], name: &str) -> Vec<Option<usize>> {
    let science: HashSet<usize> = groups.iter().map(|g| g.sci).collect();
    let mut free: Vec<&Hdu> =
        images.iter().copied().filter(|h| named(h, name) && !science.contains(&h.index)).collect();
    let mut by_ver: HashMap<i64, usize> = free.iter().rev().filter_map(|h| Some((h.ver?, h.index))).collect();
    let mut found: Vec<Option<usize>> =
        groups.iter().map(|g| hdus[g.sci].ver.and_then(|v| by_ver.remove(&v))).collect();
    // Where it is not said it is 1, by the standard.
    for (slot, g) in found.iter_mut().zip(groups) {
        if slot.is_none() && hdus[g.sci].ver.is_none() {
            *slot = by_ver.remove(&1);
        }
    }
    let taken: HashSet<usize> = found.iter().flatten().copied().collect();
    free.retain(|h| !taken.contains(&h.index));
    // By order: only between those of which at least one says no EXTVER.
    let open: Vec<usize> = (0..groups.len()).filter(|&i| found[i].is_none()).collect();
    let pairs = |g: usize, h: &Hdu| hdus[groups[g].sci].ver.is_none() || h.ver.is_none();
    if free.len() == open.len() {
        for (&g, h) in open.iter().zip(&free).filter(|(g, h)| pairs(**g, h)) {
            found[g] = Some(h.index);
        }
    } else {
        for g in open {
            let first = free.partition_point(|h| h.index <= groups[g].sci);
            let next = groups.get(g + 1).map_or(usize::MAX, |n| n.sci);
            let between = free[first..].iter().take_while(|h| h.index < next);
            found[g] = between.filter(|h| pairs(g, h)).map(|h| h.index).next();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::header::Header;
    use super::*;

    /// EXTNAME, EXTVER, whether it has pixels.
    type Entry = (Option<&'static str>, Option<i64>, bool);
    /// A group in short.
    type Found = (usize, Option<usize>, Option<usize>, Vec<usize>);

    fn file(list: &[Entry]) -> Vec<Hdu> {
        let hdu = |(index, &(name, ver, pixels)): (usize, &Entry)| Hdu {
            index,
            header: Arc::new(Header::new()),
            kind: HduKind::Image,
            name: name.map(String::from),
            ver,
            shape: if pixels { vec![2, 3] } else { vec![] },
            bitpix: -32,
            format: None,
            start: 0,
            data: 0..0,
        };
        list.iter().enumerate().map(hdu).collect()
    }

    fn of(list: &[Entry]) -> Vec<Found> {
        let groups = associate(&file(list), Layout::Auto).groups;
        groups.into_iter().map(|g| (g.sci, g.uncertainty.map(|u| u.0), g.mask, g.other)).collect()
    }

    fn found(list: &[Entry]) -> (Layout, Vec<Group>, Vec<usize>) {
        let a = associate(&file(list), Layout::Auto);
        (a.layout, a.groups, a.carried)
    }

    const PHU: Entry = (None, None, false);

    #[test]
    fn by_extver_in_any_order() {
        let got = of(&[
            PHU,
            (Some("SCI"), Some(1), true),
            (Some("SCI"), Some(2), true),
            (Some("DQ"), Some(2), true),
            (Some("VAR"), Some(1), true),
            (Some("VAR"), Some(2), true),
            (Some("OBJMASK"), Some(2), true),
        ]);
        assert_eq!(got, [(1, Some(4), None, vec![]), (2, Some(5), Some(3), vec![6])]);
    }

    #[test]
    fn by_order_without_extver() {
        let s = (Some("SCI"), None, true);
        let v = (Some("VAR"), None, true);
        let q = (Some("DQ"), None, true);
        let two = vec![(1, Some(2), Some(3), vec![]), (4, Some(5), Some(6), vec![])];
        assert_eq!(of(&[PHU, s, v, q, s, v, q]), two);
        assert_eq!(of(&[PHU, s, s, v, v]), [(1, Some(3), None, vec![]), (2, Some(4), None, vec![])]);
        assert_eq!(of(&[PHU, s, v, s, q]), [(1, Some(2), None, vec![]), (3, None, Some(4), vec![])]);
    }

    #[test]
    fn a_variance_of_another_extver_is_not_taken() {
        assert_eq!(of(&[PHU, (Some("SCI"), Some(1), true), (Some("VAR"), Some(2), true)]), [(1, None, None, vec![])]);
    }

    #[test]
    fn primary_image() {
        let p = (None, None, true);
        assert_eq!(of(&[p]), [(0, None, None, vec![])]);
        assert_eq!(of(&[p, (Some("DQ"), None, true)]), [(0, None, Some(1), vec![])]);
        let both = of(&[p, (Some("sci"), Some(1), true), (Some("DQ"), Some(1), true)]);
        assert_eq!(both, [(0, None, None, vec![]), (1, None, Some(2), vec![])]);
    }

    #[test]
    fn contradictions() {
        let sci = (Some("SCI"), Some(1), true);
        assert_eq!(contradiction(&file(&[PHU, sci, (Some("SCI"), Some(2), true)]), Layout::Auto), None);
        assert_eq!(
            contradiction(&file(&[PHU, (Some("SCI"), None, true), (Some("SCI"), None, true)]), Layout::Auto),
            None
        );
        assert_eq!(contradiction(&file(&[PHU, sci, sci]), Layout::Auto).map(|(hdu, _)| hdu), Some(2));
        let mut table = file(&[PHU, sci, (Some("DQ"), Some(1), false)]);
        table[2].kind = HduKind::BinTable;
        assert_eq!(contradiction(&table, Layout::Auto).map(|(hdu, _)| hdu), Some(2));
    }

    #[test]
    fn every_image_where_nothing_is_named_sci() {
        assert_eq!(of(&[PHU, (None, None, true), (Some("RED"), None, true)]).len(), 2);
        assert_eq!(of(&[PHU, (Some("DQ"), None, true)]), [(1, None, None, vec![])]);
    }

    #[test]
    fn names_of_observatories() {
        use UncertaintyKind::{StdDev, Variance};
        let image = |name| (Some(name), Some(1), true);
        let p = (None, None, true);
        let group = |sci, uncertainty, mask, other: &[usize]| Group { sci, uncertainty, mask, other: other.to_vec() };

        let hst = found(&[PHU, image("SCI"), image("ERR"), image("DQ"), (Some("SCI"), Some(2), true)]);
        assert_eq!(hst.0, Layout::Hst);
        assert_eq!(hst.1, [group(1, Some((2, StdDev)), Some(3), &[]), group(4, None, None, &[])]);

        let jwst = found(&[PHU, image("SCI"), image("ERR"), image("DQ"), image("VAR_POISSON"), image("AREA")]);
        assert_eq!(jwst.0, Layout::Jwst);
        assert_eq!(jwst.1, [group(1, Some((2, StdDev)), Some(3), &[4, 5])]);

        let n = |name| (Some(name), None, true);
        let lsst = found(&[PHU, n("IMAGE"), n("MASK"), n("VARIANCE"), (Some("ArchiveIndex"), None, false)]);
        assert_eq!(lsst, (Layout::Lsst, vec![group(1, Some((3, Variance)), Some(2), &[])], vec![4]));

        let ccd = found(&[p, n("MASK"), n("UNCERT"), n("PSFIMAGE")]);
        assert_eq!(ccd, (Layout::Ccddata, vec![group(0, Some((2, StdDev)), Some(1), &[3])], vec![]));

        let plain = associate(&file(&[PHU, image("SCI"), image("ERR"), image("DQ")]), Layout::Plain);
        assert_eq!(plain.groups.len(), 3);
    }

    #[test]
    fn ten_thousand_extensions_take_no_time() {
        let mut list = vec![PHU];
        for i in 0..10_000 {
            list.extend(["SCI", "VAR", "DQ"].map(|n| (Some(n), (i % 3 == 0).then_some(i), true)));
        }
        let hdus = file(&list);
        assert!(contradiction(&hdus, Layout::Auto).is_none());
        let all = associate(&hdus, Layout::Auto).groups;
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|g| g.uncertainty.map(|u| u.0) == Some(g.sci + 1) && g.mask == Some(g.sci + 2)));
    }
}
