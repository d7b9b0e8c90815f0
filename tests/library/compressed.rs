//! Compressed files: as astropy reads them, by window, and written so that cfitsio reads them.

use ndastro::WriteOptions;
use ndastro::fits::{Compression, Method};

use super::*;

/// Files that astropy packed, with the hash of each image: `tests/data/make_compressed.py`.
fn packed() -> Vec<(std::path::PathBuf, serde_json::Value)> {
    let all = support::json("compressed/truth.json");
    let files: Vec<_> =
        all.as_object().unwrap().iter().map(|(n, hdus)| (data("compressed").join(n), hdus.clone())).collect();
    assert!(files.len() > 8);
    files
}

#[test]
fn every_codec_reads_as_astropy_reads_it() {
    let mut codecs = std::collections::BTreeSet::new();
    let mut seen = 0;
    for (path, hdus) in packed() {
        let file = FitsFile::open(&path).unwrap();
        let ad = AstroData::open(&path).unwrap();
        for nd in &ad {
            let hdu = file.hdus().iter().filter(|h| h.has_pixels()).nth(seen_in(&ad, nd)).unwrap();
            let want = &hdus[hdu.index.to_string()];
            let at = format!("{} HDU {}", path.display(), hdu.index);
            let pixels = nd.data().unwrap();
            assert_eq!(pixels.dtype().name(), want["dtype"], "{at}");
            assert_eq!(serde_json::json!(pixels.shape()), want["shape"], "{at}");
            assert_eq!(sha256(pixels), want["sha256"], "{at}");
            codecs.insert(hdu.header.get_str("ZCMPTYPE").unwrap_or_default());
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen} images");
    for codec in ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"] {
        assert!(codecs.contains(codec), "{codec} is in no file");
    }
}

/// Number of an extension in its file.
fn seen_in(ad: &AstroData, nd: &NDAstroData) -> usize {
    ad.iter().position(|e| std::ptr::eq(e, nd)).unwrap()
}

#[test]
fn a_window_is_the_slice_of_the_whole() {
    for (path, _) in packed() {
        for nd in &AstroData::open(&path).unwrap() {
            let shape = nd.shape();
            let whole = nd.data().unwrap().to_f64();
            for seed in 0..12 {
                let range = |i: usize, n: usize| {
                    let a = (seed * 7919 + i * 104_729) % n;
                    a..a + 1 + (seed * 31 + i) % (n - a)
                };
                let window = Window::new(shape.iter().enumerate().map(|(i, &n)| range(i, n)));
                let part = nd.window(&window).unwrap();
                let ranges = window.ranges();
                let want = whole.slice_each_axis(|ax| Slice::from(ranges[ax.axis.index()].clone()));
                let same = part.data().unwrap().to_f64().iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{} {window} of {shape:?}", path.display());
            }
        }
    }
}

/// A tall image of noise, one tile a row.
fn tall(dir: &Path, method: Method) -> std::path::PathBuf {
    let path = dir.join("tall.fits");
    let noise: ArrayD<i16> = filled(&[500, 300], |i| (1000 + (i * 7919) % 97) as i16);
    let options = WriteOptions::default().overwrite(true).compression(Compression { method, quantize: None });
    AstroData::from_extensions(Header::new(), vec![NDAstroData::new(noise)]).write_with(&path, &options).unwrap();
    path
}

#[test]
fn a_window_decodes_only_the_tiles_that_it_touches() {
    let dir = TempDir::new().unwrap();
    for method in [Method::Rice, Method::Gzip] {
        let ad = AstroData::open(tall(dir.path(), method)).unwrap();
        let file = ad.file().unwrap();
        let heap = file.hdus()[1].header.get_i64("PCOUNT").unwrap() as u64;
        let start = file.bytes_read();
        ad[0].window(&Window::new([100..110, 5..9])).unwrap().data().unwrap();
        let part = file.bytes_read() - start;
        assert!(part > 0 && part < heap / 25, "10 of 500 rows took {part} of {heap} bytes");
        ad[0].data().unwrap();
        assert_eq!(file.bytes_read() - start - part, heap, "all rows take the heap once");
    }
}

#[test]
fn packed_images_of_every_type_are_read_by_cfitsio() {
    fn check<T: Judged + bytemuck::Pod + PartialEq>(dir: &Path, array: ArrayD<T>)
    where
        Pixels: From<ArrayD<T>>,
    {
        let path = dir.join("packed.fits");
        let want = Pixels::from(array);
        for method in [Method::Rice, Method::Gzip] {
            let options = WriteOptions::default().overwrite(true).compression(Compression { method, quantize: None });
            let ad = AstroData::from_extensions(Header::new(), vec![NDAstroData::new(want.clone())]);
            ad.write_with(&path, &options).unwrap();
            let at = format!("{} {:?} {method:?}", want.dtype(), want.shape());
            let back = AstroData::open(&path).unwrap();
            assert_eq!(back[0].data().unwrap().dtype(), want.dtype(), "{at}");
            assert!(back[0].data().unwrap().as_bytes() == want.as_bytes(), "{at}: other pixels come back");
            let judge = Judge::open(&path);
            judge.assert_sums();
            judge.select(1);
            assert_eq!(judge.shape(), want.shape(), "{at}");
            let got: Vec<T> = judge.pixels();
            assert!(bytemuck::cast_slice::<T, u8>(&got) == want.as_bytes(), "{at}: cfitsio reads other pixels");
        }
    }
    let dir = TempDir::new().unwrap();
    let noise = |i: usize| (i * 2_654_435_761) ^ (i >> 3);
    for shape in [&[1usize] as &[usize], &[13], &[5, 7], &[33, 65], &[2, 3, 40], &[1, 1441]] {
        check(dir.path(), filled(shape, |i| noise(i) as u8));
        check(dir.path(), filled(shape, |i| noise(i) as i16));
        check(dir.path(), filled(shape, |i| (noise(i) % 50) as u16 + 40_000));
        check(dir.path(), filled(shape, |i| noise(i) as i32));
        check(dir.path(), filled(shape, |i| (noise(i) % 9) as u32));
        check(dir.path(), filled(shape, |i| noise(i) as f32 * 1e-3));
        check(dir.path(), filled(shape, |i| if i % 5 == 0 { f64::NAN } else { noise(i) as f64 }));
    }
}

#[test]
fn data_are_quantised_only_when_asked_and_uncertainties_never() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("q.fits");
    // Noise of about 1 by a sum of uniform numbers.
    let uniform = |i: usize| {
        let mut x = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x >> 40) as f32 / (1 << 24) as f32
    };
    let array: ArrayD<f32> = filled(&[40, 300], |i| 500.0 + (0..12).map(|k| uniform(12 * i + k)).sum::<f32>() - 6.0);
    let variance: ArrayD<f32> = array.mapv(|v| v * 0.37);
    let nd = NDAstroData::new(array.clone()).with_variance(variance.clone()).unwrap();
    let compression = Compression { method: Method::Rice, quantize: Some(16.0) };
    let options = WriteOptions::default().compression(compression);
    AstroData::from_extensions(Header::new(), vec![nd]).write_with(&path, &options).unwrap();
    let back = AstroData::open(&path).unwrap();
    let Pixels::F32(got) = back[0].data().unwrap() else { panic!("another type") };
    let worst = got.iter().zip(&array).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(worst > 0.0 && worst < 0.06, "steps of about 1/16, so errors of half of that: {worst}");
    assert_eq!(back[0].variance().unwrap(), Some(&variance.into()));
    Judge::open(&path).assert_sums();
    let judge = Judge::open(&path);
    judge.select(1);
    let theirs = judge.pixels::<f32>();
    let differ = theirs.iter().zip(got).filter(|(a, b)| a.to_bits() != b.to_bits()).take(3).collect::<Vec<_>>();
    assert!(differ.is_empty(), "cfitsio reads {differ:?}");
}

#[test]
fn a_stack_of_packed_frames_is_the_stack_of_the_frames() {
    let dir = TempDir::new().unwrap();
    let plain = write_frames(dir.path(), 4, &[67, 130]);
    let packed: Vec<_> = plain
        .iter()
        .enumerate()
        .map(|(i, p)| {
            let path = dir.path().join(format!("packed_{i}.fits.fz"));
            let method = if i % 2 == 0 { Method::Rice } else { Method::Gzip };
            let options = WriteOptions::default().compression(Compression { method, quantize: None });
            AstroData::open(p).unwrap().write_with(&path, &options).unwrap();
            path
        })
        .collect();
    for engine in engines() {
        let want = Stack::files(&plain).unwrap().eval(&engine).unwrap().0;
        // The smaller budget does not hold a band of every frame: tiles go through a temporary file.
        for memory in [1 << 30, 200 << 10] {
            let stack = Stack::files(&packed).unwrap().memory(memory);
            let got = match stack.eval(&engine) {
                Err(Error::Budget { .. }) => continue,
                other => other.unwrap().0,
            };
            assert_eq!(planes(&got[0]), planes(&want[0]), "{} in {memory}", engine.describe());
        }
        // The result can be packed as well.
        let out = dir.path().join("stack.fits");
        let compression = Compression { method: Method::Rice, quantize: None };
        Stack::files(&packed).unwrap().compression(Some(compression)).write(&engine, &out, true).unwrap();
        assert_eq!(planes(&AstroData::open(&out).unwrap()[0]), planes(&want[0]), "{}", engine.describe());
        Judge::open(&out).assert_sums();
    }
}

/// A row of 200,000 pixels is one tile: three of them do not fit a budget of 2 MB.
#[test]
fn tiles_larger_than_the_budget_are_spooled() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("row.fits");
    let row: ArrayD<f32> = filled(&[200_000], |i| (i % 977) as f32);
    let options = WriteOptions::default().compression(Compression { method: Method::Gzip, quantize: None });
    AstroData::from_extensions(Header::new(), vec![NDAstroData::new(row)]).write_with(&path, &options).unwrap();
    let nd = AstroData::open(&path).unwrap()[0].clone();
    for engine in engines() {
        let whole = |memory| {
            let stack = Stack::new([nd.clone(), nd.clone(), nd.clone()]).memory(memory);
            stack.eval(&engine).unwrap().0
        };
        assert_eq!(planes(&whole(2 << 20)[0]), planes(&whole(1 << 30)[0]), "{}", engine.describe());
    }
}

#[test]
fn damaged_tiles_are_named() {
    let dir = TempDir::new().unwrap();
    let path = tall(dir.path(), Method::Gzip);
    let file = FitsFile::open(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let heap = file.hdus()[1].data.start as usize + 500 * 8;
    // In the middle of the data of the first tile.
    bytes[heap + 40] ^= 0x55;
    fs::write(&path, bytes).unwrap();
    let ad = AstroData::open(&path).unwrap();
    assert_says(&ad[0].data().unwrap_err().to_string(), &["tall.fits", "HDU 1", "damaged", "tile 1", "gzip"]);
    // The others are still there.
    ad[0].window(&Window::new([1..500, 0..300])).unwrap().data().unwrap();
    let out = dir.path().join("out.fits");
    let failed = Stack::of(vec![ad]).write(&Engine::cpu(1).unwrap(), &out, false).unwrap_err();
    assert_says(&failed.to_string(), &["tall.fits", "tile 1"]);
    assert_eq!(names(dir.path()), ["tall.fits"]);
}

#[test]
fn files_packed_as_a_whole_read_as_what_they_hold() {
    let dir = TempDir::new().unwrap();
    let plain = dir.path().join("frame.fits");
    write_frame(&plain, 3, &[50, 60]);
    let bytes = fs::read(&plain).unwrap();
    let gz = dir.path().join("not named so");
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&gz).unwrap(), flate2::Compression::new(6));
    std::io::Write::write_all(&mut encoder, &bytes).unwrap();
    encoder.finish().unwrap();
    let ad = AstroData::open(&gz).unwrap();
    assert_eq!(planes(&ad[0]), planes(&frame(3, &[50, 60])));
    // Also in place of itself: what is written is plain.
    ad.write(&gz, true).unwrap();
    assert_eq!(planes(&AstroData::open(&gz).unwrap()[0]), planes(&frame(3, &[50, 60])));

    // One that ends early is refused, and says what it is.
    let packed = fs::read(data("images/image_i16.fits.gz")).unwrap();
    for n in [3, 20, packed.len() / 2, packed.len() - 1] {
        let cut = dir.path().join("cut.fits.gz");
        fs::write(&cut, &packed[..n]).unwrap();
        let said = AstroData::open(&cut).err().unwrap().to_string();
        assert_says(&said, &["cut.fits.gz", if n > 3 { "packed" } else { "not a FITS file" }]);
    }
}

/// What is allowed by default is tested where files are unpacked.
#[test]
fn a_packed_file_unpacks_to_no_more_than_is_allowed() {
    let dir = TempDir::new().unwrap();
    let (plain, path) = (dir.path().join("zeros.fits"), dir.path().join("zeros.fits.gz"));
    let zeros: ArrayD<u8> = filled(&[2 << 20], |_| 0);
    AstroData::from_extensions(Header::new(), vec![NDAstroData::new(zeros)]).write(&plain, false).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::new(6));
    std::io::Write::write_all(&mut encoder, &fs::read(&plain).unwrap()).unwrap();
    encoder.finish().unwrap();
    let limited = |bytes| FitsFile::open_with(&path, &OpenOptions::default().max_inflate(bytes));
    assert_says(&limited(1 << 20).err().unwrap().to_string(), &["zeros.fits.gz", "1048576 bytes", "--max-inflate"]);
    assert_eq!(limited(3 << 20).unwrap().hdus()[1].shape, [2 << 20]);
    assert_eq!(FitsFile::open(&path).unwrap().hdus()[1].shape, [2 << 20]);
}
