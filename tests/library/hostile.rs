//! Files that lie: every small file of `tests/data` damaged in thousands of ways, what the fuzzer found, and a few
//! kilobytes that claim to be much. Nothing panics, an error is one line, a window is the slice of the whole.

use std::io::Write;
use std::time::Instant;

use ndastro::fits::{Compression, Layout, Method};
use ndastro::{OpenOptions, Result, WriteOptions};

use super::windows::slice;
use super::*;

/// xorshift: the same damage in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn window(&mut self, shape: &[usize]) -> Window {
        Window::new(shape.iter().map(|&n| {
            let start = self.below(n);
            start..start + 1 + self.below(n - start)
        }))
    }
}

/// The files of these folders that are small, largest damage for least time.
fn small_files() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in ["images", "compressed"] {
        for name in names(&data(folder)).iter().filter(|n| n.ends_with(".fits")) {
            let bytes = fs::read(data(folder).join(name)).unwrap();
            if bytes.len() < 24 << 10 {
                all.push((name.clone(), bytes));
            }
        }
    }
    assert!(all.len() > 30);
    all
}

/// Where cards of these keywords are, in headers and in what looks like one.
fn cards(bytes: &[u8], which: impl Fn(&str) -> bool) -> Vec<usize> {
    let keyword = |at: &usize| {
        let name = std::str::from_utf8(&bytes[*at..*at + 8]).unwrap_or_default();
        &bytes[at + 8..at + 10] == b"= " && which(name.trim_end().trim_end_matches(|c: char| c.is_ascii_digit()))
    };
    (0..bytes.len() / 80).map(|i| i * 80).filter(keyword).collect()
}

const STRUCTURAL: [&str; 25] = [
    "NAXIS", "BITPIX", "PCOUNT", "GCOUNT", "TFIELDS", "TFORM", "TTYPE", "THEAP", "ZNAXIS", "ZBITPIX", "ZTILE", "ZNAME",
    "ZVAL", "ZCMPTYPE", "ZQUANTIZ", "ZDITHER", "ZBLANK", "ZSCALE", "ZZERO", "ZIMAGE", "BSCALE", "BZERO", "BLANK",
    "EXTNAME", "EXTVER",
];

const EXTREMES: [&str; 28] = [
    "0",
    "1",
    "2",
    "3",
    "-1",
    "8",
    "-32",
    "-64",
    "16",
    "999",
    "1000",
    "65536",
    "2147483647",
    "-2147483648",
    "4294967296",
    "1099511627776",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "1.5",
    "1E308",
    "-1E-308",
    "T",
    "'1PB(0)'",
    "'1QB(99)'",
    "'RICE_1'",
    "'HCOMPRESS_1'",
    "'GZIP_2'",
];

/// One of the ways in which files are damaged.
fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let structural = cards(bytes, |name| STRUCTURAL.contains(&name));
    match numbers.below(7) {
        0 => {
            for _ in 0..1 + numbers.below(8) {
                let at = numbers.below(bytes.len());
                bytes[at] ^= 1 << numbers.below(8);
            }
        }
        1 | 2 if !structural.is_empty() => {
            for _ in 0..1 + numbers.below(2) {
                let at = numbers.of(&structural);
                let value = format!("{:>20}{:50}", numbers.of(&EXTREMES), "");
                bytes[at + 10..at + 80].copy_from_slice(&value.as_bytes()[..70]);
            }
        }
        3 => bytes.truncate(numbers.below(bytes.len())),
        4 if !structural.is_empty() => {
            // A card twice; the next one goes.
            let at = numbers.of(&structural).min(bytes.len() - 160);
            bytes.copy_within(at..at + 80, at + 80);
        }
        5 if !structural.is_empty() => {
            let at = numbers.of(&structural);
            bytes[at..at + 80].fill(b' ');
        }
        // Descriptors, if the last HDU is a compressed image: numbers in the blocks of data.
        _ => {
            let block = bytes.len() / BLOCK;
            let at = (numbers.below(block.max(1)) * BLOCK + 4 * numbers.below(40)).min(bytes.len().saturating_sub(8));
            let number = numbers.of(&[0u32, 1, 2, 7, 100, 65_536, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]);
            if let Some(word) = bytes.get_mut(at..at + 4) {
                word.copy_from_slice(&number.to_be_bytes());
            }
        }
    }
}

/// The value, or nothing if the error is a proper one.
#[track_caller]
fn sound<T>(result: Result<T>) -> Option<T> {
    result.inspect_err(|e| assert_says(&e.to_string(), &[])).ok()
}

/// Reads all that can be read; how many planes could.
fn read_all(bytes: &[u8], numbers: &mut Numbers) -> usize {
    let Some(file) = sound(FitsFile::from_bytes(bytes.to_vec())) else { return 0 };
    file.warnings().iter().for_each(|w| assert_says(w, &[]));
    let mut read = 0;
    for layout in [Layout::Auto, Layout::Plain] {
        let Some(ad) = sound(AstroData::from_file(file.clone(), layout)) else { continue };
        ad.info().lines().for_each(|line| assert_says(line, &[]));
        // What claims millions of pixels is in tests of its own.
        for nd in ad.iter().filter(|nd| nd.size() < 1 << 20) {
            let window = numbers.window(&nd.shape());
            let part = nd.window(&window).unwrap();
            let Some(whole) = sound(nd.data()) else {
                sound(part.data());
                continue;
            };
            assert_eq!((whole.shape(), whole.dtype()), (nd.shape().as_slice(), nd.dtype()));
            let (want, got) = (slice(whole, &window), part.data().unwrap());
            assert_eq!((want.shape(), whole.dtype()), (got.shape(), got.dtype()), "{window}");
            let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            assert!(want.iter().zip(&got.to_f64()).all(same), "{window}");
            sound(nd.variance());
            sound(nd.mask());
            read += 1;
        }
    }
    read
}

#[test]
fn no_damage_is_too_much() {
    let (mut read, mut tried) = (0, 0);
    for (i, (name, bytes)) in small_files().iter().enumerate() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (i as u64 + 1));
        assert!(read_all(bytes, &mut numbers) > 0 || bytes.len() <= 2 * BLOCK || !name.contains("rice"));
        for round in 0..600 {
            let mut damaged = bytes.clone();
            for _ in 0..=round % 3 {
                if damaged.len() > 160 {
                    damage(&mut damaged, &mut numbers);
                }
            }
            tried += 1;
            read += read_all(&damaged, &mut numbers);
        }
    }
    assert!(read > tried / 4, "{read} planes of {tried} files could be read: this proves little");
}

/// Any byte may be the last one.
#[test]
fn a_file_may_end_anywhere() {
    for name in ["compressed/plio.fits", "images/image_i32.fits", "images/table_vla.fits"] {
        let bytes = fs::read(data(name)).unwrap();
        let mut numbers = Numbers(7);
        for end in (0..bytes.len()).step_by(37).chain((0..bytes.len()).step_by(80)) {
            read_all(&bytes[..end], &mut numbers);
        }
    }
}

/// A card as FITS has it; HIERARCH where the keyword is too long.
fn card(key: &str, value: &str) -> [u8; 80] {
    let line = if key.len() > 8 { format!("HIERARCH {key} = {value}") } else { format!("{key:<8}= {value:>20}") };
    <[u8; 80]>::try_from(format!("{line:<80}").as_bytes()).unwrap()
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn header(cards: &[(&str, String)]) -> Vec<u8> {
    Header::from_cards(cards.iter().map(|(key, value)| card(key, value))).to_bytes()
}

/// A compressed image, axes and tiles in the order of FITS, with what its descriptors (count, offset) and its heap say.
struct Packed<'a> {
    axes: &'a [usize],
    tile: &'a [usize],
    codec: &'a str,
    bitpix: i64,
    form: &'a str,
    column: &'a str,
    descriptors: Vec<(u32, u32)>,
    heap: Vec<u8>,
}

impl Packed<'_> {
    fn bytes(&self) -> Vec<u8> {
        let quoted = |s: &str| format!("'{s:<8}'");
        let zaxes: Vec<String> = (1..=self.axes.len()).map(|i| format!("ZNAXIS{i}")).collect();
        let ztile: Vec<String> = (1..=self.axes.len()).map(|i| format!("ZTILE{i}")).collect();
        let mut list: Vec<(&str, String)> = vec![
            ("XTENSION", quoted("BINTABLE")),
            ("BITPIX", "8".into()),
            ("NAXIS", "2".into()),
            ("NAXIS1", "8".into()),
            ("NAXIS2", self.descriptors.len().to_string()),
            ("PCOUNT", self.heap.len().to_string()),
            ("GCOUNT", "1".into()),
            ("TFIELDS", "1".into()),
            ("TTYPE1", quoted(self.column)),
            ("TFORM1", quoted(self.form)),
            ("ZIMAGE", "T".into()),
            ("ZCMPTYPE", quoted(self.codec)),
            ("ZBITPIX", self.bitpix.to_string()),
            ("ZNAXIS", self.axes.len().to_string()),
        ];
        list.extend(zaxes.iter().zip(self.axes).map(|(k, n)| (k.as_str(), n.to_string())));
        list.extend(ztile.iter().zip(self.tile).map(|(k, n)| (k.as_str(), n.to_string())));
        let mut data: Vec<u8> =
            self.descriptors.iter().flat_map(|&(n, at)| [n.to_be_bytes(), at.to_be_bytes()].concat()).collect();
        data.extend_from_slice(&self.heap);
        let primary = header(&[("SIMPLE", "T".into()), ("BITPIX", "8".into()), ("NAXIS", "0".into())]);
        [primary, header(&list), padded(data)].concat()
    }

    /// Whatever the tiles hold: quickly read or quickly refused.
    fn read(&self) -> Result<Pixels> {
        let started = Instant::now();
        let file = FitsFile::from_bytes(self.bytes())?;
        let read = AstroData::from_file(file, Layout::Plain).and_then(|ad| ad[0].data().cloned());
        if let Err(e) = &read {
            assert_says(&e.to_string(), &["HDU 1"]);
        }
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
        read
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Found by the fuzzer: numbers of 4 bytes where 8 were due read beyond their end.
#[test]
fn deflated_numbers_of_another_width() {
    let heap = gzip(&[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
    let all = vec![(heap.len() as u32, 0)];
    let image = |bitpix| Packed {
        axes: &[3],
        tile: &[3],
        codec: "GZIP_1",
        bitpix,
        form: "1PB",
        column: "GZIP_COMPRESSED_DATA",
        descriptors: all.clone(),
        heap: heap.clone(),
    };
    for bitpix in [64, -64] {
        let said = image(bitpix).read().unwrap_err().to_string();
        assert_says(&said, &["tile 1", "12 bytes found, 24 expected"]);
    }
    // Short numbers deflated as long ones are read wherever they are.
    assert_eq!(image(8).read().unwrap(), arr1(&[1u8, 2, 3]).into());
    assert_eq!(image(16).read().unwrap(), arr1(&[1i16, 2, 3]).into());
    assert_eq!(image(32).read().unwrap(), arr1(&[1i32, 2, 3]).into());
}

/// Found by the fuzzer: the image of a primary lost its planes when it was packed, since that makes an extension of it.
#[test]
fn the_planes_of_a_primary_image_stay_its_own_when_it_is_packed() {
    let dir = TempDir::new().unwrap();
    let ad = AstroData::open(data("images/primary_plus_dq.fits")).unwrap();
    assert!(ad.len() == 1 && ad[0].has_mask());
    for method in [Method::Rice, Method::Gzip] {
        let path = dir.path().join("packed.fits");
        let options = WriteOptions::default().overwrite(true).compression(Compression { method, quantize: None });
        ad.write_with(&path, &options).unwrap();
        for layout in [Layout::Auto, ad.layout()] {
            let back = AstroData::open_with(&path, &OpenOptions::default().layout(layout)).unwrap();
            assert_eq!(back.len(), 1, "{layout}");
            assert_eq!(planes(&back[0]), planes(&ad[0]), "{layout}");
        }
    }
}

/// Found by the fuzzer: words that mean nothing in an image, and much in the table that it is packed to.
#[test]
fn cards_of_a_table_in_an_image_are_not_packed_with_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("packed.fits");
    let mut header = header(&[
        ("SIMPLE", "T".into()),
        ("BITPIX", "16".into()),
        ("NAXIS", "1".into()),
        ("NAXIS1", "9".into()),
        ("ZBLANK", "3".into()),
        ("TFORM2", "'1PB     '".into()),
        ("ZNAME1", "'BYTEPIX '".into()),
        ("ZVAL1", "2".into()),
        ("OBJECT", "'it stays'".into()),
    ]);
    header.extend((0..9u16).flat_map(u16::to_be_bytes));
    let ad = AstroData::from_file(FitsFile::from_bytes(header).unwrap(), Layout::Auto).unwrap();
    for method in [Method::Rice, Method::Gzip] {
        let options = WriteOptions::default().overwrite(true).compression(Compression { method, quantize: None });
        ad.write_with(&path, &options).unwrap();
        let back = AstroData::open(&path).unwrap();
        assert_eq!(back[0].data().unwrap(), ad[0].data().unwrap());
        assert_eq!(back[0].meta().get_str("OBJECT").as_deref(), Some("it stays"));
    }
}

/// Found by the fuzzer: an image with two names went by the other one when it was packed.
#[test]
fn an_image_of_two_names_goes_by_the_first() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("packed.fits");
    let mut bytes = header(&[("SIMPLE", "T".into()), ("BITPIX", "8".into()), ("NAXIS", "0".into())]);
    bytes.extend(header(&[
        ("XTENSION", "'IMAGE   '".into()),
        ("BITPIX", "8".into()),
        ("NAXIS", "1".into()),
        ("NAXIS1", "9".into()),
        ("EXTNAME", "'SCI     '".into()),
        ("EXTNAME", "'VAR     '".into()),
    ]));
    bytes.extend([1; 9]);
    let ad = AstroData::from_file(FitsFile::from_bytes(padded(bytes)).unwrap(), Layout::Auto).unwrap();
    let options = WriteOptions::default().compression(Compression { method: Method::Rice, quantize: None });
    ad.write_with(&path, &options).unwrap();
    let back = AstroData::open(&path).unwrap();
    assert_eq!((ad[0].name(), back[0].name()), ("SCI", "SCI"));
}

/// The coefficients of an HCOMPRESS tile take 8 bytes a pixel, and its stream may be of 26 bytes.
#[test]
fn a_tile_that_takes_much_memory_must_come_from_much() {
    let side = 8192usize;
    let mut heap = vec![0xdd, 0x99];
    [side as u32, side as u32, 1, 0, 5].iter().for_each(|n| heap.extend(n.to_be_bytes()));
    heap.extend([0; 4]);
    let mut image = Packed {
        axes: &[side, side],
        tile: &[side, side],
        codec: "HCOMPRESS_1",
        bitpix: 8,
        form: "1PB",
        column: "COMPRESSED_DATA",
        descriptors: vec![(heap.len() as u32, 0)],
        heap,
    };
    assert_says(&image.read().unwrap_err().to_string(), &["tiles of shape [8192, 8192] cannot come from 26 bytes"]);
    // A smaller one is what it says: a constant.
    let side = 64usize;
    image.axes = &[64, 64];
    image.tile = &[64, 64];
    image.heap[2..10].copy_from_slice(&[0, 0, 0, side as u8, 0, 0, 0, side as u8]);
    assert_eq!(image.read().unwrap().shape(), [64, 64]);
}

/// Bytes that hold no pixel, in front of one: tens of thousands of tiles may point at them.
#[test]
fn tiles_share_no_long_nothing() {
    let tiles = 20_000;
    let mut members: Vec<u8> = gzip(&[]).repeat(8_000);
    members.extend(gzip(&[0, 7]));
    let list = (members.len() / 2) as u16;
    let idle: Vec<u8> = [0u16, 7, 0xff9c, list & 0x7fff, list >> 15, 0, 0]
        .into_iter()
        .chain(std::iter::repeat_n([0x1000, 0], usize::from(list) / 2 - 4).flatten())
        .chain([0x4001])
        .flat_map(u16::to_be_bytes)
        .collect();
    for (codec, form, element, heap) in [("GZIP_1", "1PB", 1, members), ("PLIO_1", "1PI", 2, idle)] {
        let image = Packed {
            axes: &[1, tiles],
            tile: &[1, 1],
            codec,
            bitpix: 16,
            form,
            column: "COMPRESSED_DATA",
            descriptors: vec![((heap.len() / element) as u32, 0); tiles],
            heap,
        };
        assert_says(&image.read().unwrap_err().to_string(), &["tile ", "too many for 1 pixels"]);
    }
}

/// An image is copied by runs, however its axes are cut: here 16 million rows of one pixel, and 22 axes.
#[test]
fn narrow_images_and_many_axes() {
    let n = 1 << 22;
    let values: Vec<u8> = (0..n).map(|i: usize| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect();
    let heap = gzip(&values);
    let many = [2usize; 22];
    let mut long = [1usize; 99];
    long[98] = n;
    for axes in [&[1, n] as &[usize], &[2, n / 2], &many, &long] {
        let descriptors = vec![(heap.len() as u32, 0)];
        let (codec, form, column) = ("GZIP_1", "1PB", "COMPRESSED_DATA");
        let image = Packed { axes, tile: axes, codec, bitpix: 8, form, column, descriptors, heap: heap.clone() };
        let read = image.read().unwrap();
        assert!(read.as_bytes() == values && read.shape().len() == axes.len());
    }
}

/// ZNAXIS100 is no keyword, but a HIERARCH card may be named so: each tile would take the time of 999 axes.
#[test]
fn a_compressed_image_has_as_many_axes_as_keywords_can_name() {
    let heap = gzip(&[0, 7]);
    for (rank, read) in [(99, true), (100, false), (999, false)] {
        let axes = vec![1usize; rank];
        let image = Packed {
            axes: &axes,
            tile: &axes,
            codec: "GZIP_1",
            bitpix: 16,
            form: "1PB",
            column: "COMPRESSED_DATA",
            descriptors: vec![(heap.len() as u32, 0)],
            heap: heap.clone(),
        };
        match image.read() {
            Ok(pixels) => assert!(read && pixels.shape().len() == rank),
            Err(e) => {
                assert!(!read);
                assert_says(&e.to_string(), &[&format!("ZNAXIS = {rank} is not in 0 to 99")]);
            }
        }
    }
}

#[test]
fn overlapping_tiles_are_tiles() {
    // Each row of the image is the same tile.
    let row: Vec<u8> = (0..200u16).flat_map(u16::to_be_bytes).collect();
    let heap = gzip(&row);
    let image = Packed {
        axes: &[200, 50],
        tile: &[200, 1],
        codec: "GZIP_1",
        bitpix: 16,
        form: "1PB",
        column: "COMPRESSED_DATA",
        descriptors: vec![(heap.len() as u32, 0); 50],
        heap,
    };
    assert_eq!(image.read().unwrap(), filled(&[50, 200], |i| (i % 200) as i16).into());
}

/// The largest rank there is, 999 axes and 100,000 cards to find them among; windows of it.
#[test]
fn many_axes_and_many_cards() {
    let names: Vec<String> = (1..=999).map(|i| format!("NAXIS{i}")).collect();
    let mut list: Vec<(&str, String)> = vec![("SIMPLE", "T".into()), ("BITPIX", "16".into()), ("NAXIS", "999".into())];
    list.extend(names.iter().enumerate().map(|(i, k)| (k.as_str(), if i == 500 { "1440" } else { "1" }.to_string())));
    list.extend((0..100_000).map(|i| ("JUNK", i.to_string())));
    let started = Instant::now();
    let mut bytes = header(&list);
    bytes.extend((0..1440u16).flat_map(u16::to_be_bytes));
    let ad = AstroData::from_file(FitsFile::from_bytes(bytes).unwrap(), Layout::Auto).unwrap();
    let mut ranges = Window::full(&ad[0].shape()).ranges().to_vec();
    ranges[498] = 100..110;
    let part = ad[0].window(&Window::new(ranges)).unwrap();
    assert_eq!(part.data().unwrap().as_bytes(), (100..110i16).flat_map(i16::to_ne_bytes).collect::<Vec<_>>());
    assert_eq!(ad[0].data().unwrap().len(), 1440);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

/// A thousand columns are looked for among 100,000 cards; the first of a keyword counts, and one in upper case more.
#[test]
fn many_columns_and_many_cards() {
    let heap = gzip(&[0, 7]);
    let image = Packed {
        axes: &[1],
        tile: &[1],
        codec: "GZIP_1",
        bitpix: 16,
        form: "1PB",
        column: "COMPRESSED_DATA",
        descriptors: vec![(heap.len() as u32, 0)],
        heap,
    };
    let file = FitsFile::from_bytes(image.bytes()).unwrap();
    let mut list: Vec<[u8; 80]> = file.hdus()[1].header.cards().to_vec();
    let place = list.iter().position(|c| c.starts_with(b"TFIELDS")).unwrap();
    list[place] = card("TFIELDS", "999");
    list.insert(place, card("tfields", "7"));
    list.extend((0..100_000).map(|i| card("JUNK", &i.to_string())));
    for i in 2..=999 {
        list.push(card(&format!("TFORM{i}"), "'0B      '"));
        list.push(card(&format!("ZNAME{}", i - 1), "'NOTHING '"));
    }
    list.push(card("TFORM1", "'nonsense'"));
    let head = image.bytes().len() - BLOCK;
    let bytes = [&image.bytes()[..BLOCK], &Header::from_cards(list).to_bytes(), &image.bytes()[head..]].concat();
    let started = Instant::now();
    let ad = AstroData::from_file(FitsFile::from_bytes(bytes).unwrap(), Layout::Plain).unwrap();
    assert_eq!(ad[0].data().unwrap(), &arr1(&[7i16]).into());
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn more_hdus_than_there_may_be() {
    let mut bytes = header(&[("SIMPLE", "T".into()), ("BITPIX", "8".into()), ("NAXIS", "0".into())]);
    let one = header(&[("XTENSION", "'IMAGE   '".into()), ("BITPIX", "8".into()), ("NAXIS", "0".into())]);
    bytes.extend(one.repeat(65_536));
    let said = FitsFile::from_bytes(bytes.clone()).err().unwrap().to_string();
    assert_says(&said, &["more than 65536 HDUs"]);
    bytes.truncate(65_536 * BLOCK);
    let file = FitsFile::from_bytes(bytes).unwrap();
    assert_eq!(file.hdus().len(), 65_536);
    assert_says(&AstroData::from_file(file, Layout::Auto).err().unwrap().to_string(), &["no image"]);
}

/// A unit of letters that FITS does not have, and that nobody knows: it stays in its card, byte for byte.
#[test]
fn a_unit_that_nobody_can_write_stays_where_it_was() {
    let cards = [("SIMPLE", "T"), ("BITPIX", "16"), ("NAXIS", "1"), ("NAXIS1", "3"), ("BUNIT", "'counts# '")];
    let mut bytes = header(&cards.map(|(key, value)| (key, value.to_string())));
    let at = bytes.iter().position(|&b| b == b'#').unwrap();
    bytes[at] = 0xa0;
    bytes.extend(vec![0; BLOCK]);
    let dir = TempDir::new().unwrap();
    let ad = AstroData::from_file(FitsFile::from_bytes(bytes).unwrap(), Layout::Auto).unwrap();
    for method in [None, Some(ndastro::fits::Method::Rice)] {
        let mut options = ndastro::WriteOptions::default().overwrite(true);
        if let Some(method) = method {
            options = options.compression(ndastro::fits::Compression { method, quantize: None });
        }
        let path = dir.path().join("out.fits");
        ad.write_with(&path, &options).unwrap();
        let back = AstroData::open(&path).unwrap();
        assert_eq!(back[0].unit(), ad[0].unit());
        let written = fs::read(&path).unwrap();
        assert!(written.windows(9).any(|w| w == b"'counts\xa0 "), "{method:?}");
    }
    // One that is new must be written.
    let error = ad[0].clone().with_unit("m\u{f6}glich").header().unwrap_err();
    assert_says(&error.to_string(), &["cannot be written", "ASCII"]);
}
