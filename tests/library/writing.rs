//! What is written, judged by cfitsio.

use super::*;

/// Writes an array; cfitsio and this crate read it back, bit for bit.
pub fn judge_array<T>(dir: &Path, array: ArrayD<T>)
where
    Pixels: From<ArrayD<T>>,
    T: Judged + bytemuck::Pod,
{
    let (path, shape) = (dir.join("array.fits"), array.shape().to_vec());
    let want = Pixels::from(array);
    let nd = NDAstroData::new(want.clone());
    AstroData::from_extensions(Header::new(), vec![nd]).write(&path, true).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len() % BLOCK as u64, 0);

    let judge = Judge::open(&path);
    assert_eq!(judge.len(), 2);
    judge.assert_sums();
    judge.select(1);
    assert_eq!((judge.image_type(), judge.shape()), (T::IMAGE, shape), "{}", want.dtype());
    let got: Vec<T> = judge.pixels();
    assert!(bytemuck::cast_slice::<T, u8>(&got) == want.as_bytes(), "cfitsio reads other {}", want.dtype());
    drop(judge);

    let back = AstroData::open(&path).unwrap();
    let back = back[0].data().unwrap();
    assert_eq!((back.dtype(), back.shape()), (want.dtype(), want.shape()));
    assert!(back.as_bytes() == want.as_bytes(), "other {} come back", want.dtype());
}

const SHAPES: [&[usize]; 6] = [&[1], &[13], &[1, 1], &[5, 7], &[2, 3, 4], &[1441]];

macro_rules! integers_are_written {
    ($($name:ident $type:ty),*) => {
        $(#[test]
        fn $name() {
            let dir = TempDir::new().unwrap();
            let values = [<$type>::MIN, <$type>::MAX, 0, 1, <$type>::MAX / 2, <$type>::MAX / 2 + 1, <$type>::MIN + 1, 113];
            for shape in SHAPES {
                judge_array(dir.path(), filled(shape, |i| values[i % values.len()]));
            }
        })*
    };
}

integers_are_written!(
    u8_is_written u8, i8_is_written i8, i16_is_written i16, u16_is_written u16, i32_is_written i32,
    u32_is_written u32, i64_is_written i64, u64_is_written u64
);

macro_rules! floats_are_written {
    ($($name:ident $type:ty),*) => {
        $(#[test]
        fn $name() {
            let dir = TempDir::new().unwrap();
            let values = [
                1.5, <$type>::NAN, -0.0, <$type>::INFINITY, <$type>::NEG_INFINITY, <$type>::MIN, <$type>::MIN_POSITIVE,
                <$type>::MIN_POSITIVE / 4.0, -1.0 / 3.0,
            ];
            for shape in SHAPES {
                judge_array(dir.path(), filled(shape, |i| values[i % values.len()]));
            }
        })*
    };
}

floats_are_written!(f32_is_written f32, f64_is_written f64);

/// The layout of a file that has all planes twice.
#[test]
fn planes_units_and_counts_are_written() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.fits");
    let mut phu = Header::new();
    phu.set("OBJECT", "M 51", "");
    // What the header of another file said of its layout does not get in.
    phu.set("NEXTEND", 17i64, "");
    let second = frame(1, &[3, 4]).with_unit("electron/s");
    AstroData::from_extensions(phu, vec![frame(0, &[5, 6]), second]).write(&path, false).unwrap();

    let judge = Judge::open(&path);
    judge.assert_sums();
    assert_eq!(judge.len(), 7);
    assert_eq!((judge.select(0).integer("NEXTEND"), judge.string("OBJECT")), (6, "M 51".into()));
    let planes = [("SCI", 20), ("VAR", -32), ("DQ", 20)];
    let units = [["adu", "adu**2"], ["electron/s", "electron**2 s**-2"]];
    for (i, (name, kind)) in planes.iter().cycle().take(6).enumerate() {
        judge.select(i + 1);
        let ver = i / 3;
        assert_eq!((judge.string("EXTNAME"), judge.integer("EXTVER")), ((*name).into(), ver as i64 + 1));
        assert_eq!((judge.image_type(), judge.shape()), (*kind, [vec![5, 6], vec![3, 4]][ver].clone()));
        if *name == "DQ" {
            assert!(!judge.cards().iter().any(|c| c.starts_with("BUNIT")), "a mask has no unit");
        } else {
            assert_eq!(judge.string("BUNIT"), units[ver][i % 3]);
        }
    }
    let variance = judge.select(2).pixels::<f32>();
    assert_eq!(bytemuck::cast_slice::<f32, u8>(&variance), frame(0, &[5, 6]).variance().unwrap().unwrap().as_bytes());
}

/// Cards that are set anew, in a copy in the order of the source.
fn is_layout(card: &str) -> bool {
    let key = card[..8.min(card.len())].trim_end();
    ["EXTEND", "NEXTEND", "PCOUNT", "GCOUNT", "CHECKSUM", "DATASUM"].contains(&key) || card.is_empty()
}

fn carried(header: &Header) -> Vec<String> {
    let cards = header.cards().iter().map(|c| String::from_utf8_lossy(c).trim_end().to_string());
    cards.filter(|c| !is_layout(c)).collect()
}

/// As cfitsio lists them.
#[test]
fn headers_are_carried_card_by_card() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("copy.fits");
    let mut kinds = std::collections::BTreeSet::new();
    for (source, hdus) in truth() {
        let Ok(ad) = AstroData::open(&source) else { continue };
        ad.write(&path, true).unwrap();
        let judge = Judge::open(&path);
        let file = ad.file().unwrap();
        for hdu in file.hdus().iter().filter(|h| hdus[h.index]["compressed"].is_null()) {
            let want = carried(&hdu.header);
            let got: Vec<String> = judge.select(hdu.index).cards().into_iter().filter(|c| !is_layout(c)).collect();
            assert_eq!(got, want, "{}: HDU {} of the copy", source.display(), hdu.index);
            kinds.extend(want.iter().map(|c| c.split([' ', '=']).next().unwrap_or_default().to_string()));
        }
    }
    for kind in ["HIERARCH", "CONTINUE", "COMMENT", "HISTORY"] {
        assert!(kinds.contains(kind), "no file has {kind:?}: nothing was proved for it");
    }
}

#[test]
fn what_was_read_is_written_so_that_it_can_be_read_again() {
    let dir = TempDir::new().unwrap();
    let (first, second) = (dir.path().join("first.fits"), dir.path().join("second.fits"));
    let three: Vec<NDAstroData> = (0..3).map(|i| frame(i, &[2, 3])).collect();
    AstroData::from_extensions(Header::new(), three).write(&first, false).unwrap();
    let read = AstroData::open(&first).unwrap();
    // The first is SCI,2; the second has no EXTVER and stands in the second place.
    let mixed = vec![read[1].clone(), frame(9, &[2, 3])];
    assert_eq!((mixed[0].ver(), mixed[1].ver()), (Some(2), None));
    AstroData::from_extensions(Header::new(), mixed).write(&second, false).unwrap();
    let back = AstroData::open(&second).unwrap();
    assert_eq!(back.len(), 2);
    assert_eq!(back[1].data().unwrap(), frame(9, &[2, 3]).data().unwrap());
}

#[test]
fn a_variance_never_has_the_unit_of_the_data() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.fits");
    let mut meta = Header::new();
    meta.set("BUNIT", "adu", "");
    let nd = NDAstroData::new(arr1(&[1f32])).with_variance(arr1(&[1f32])).unwrap().with_meta(meta);
    AstroData::from_extensions(Header::new(), vec![nd]).write(&path, false).unwrap();
    let judge = Judge::open(&path);
    let unit = judge.select(2).cards().into_iter().find(|c| c.starts_with("BUNIT"));
    assert!(unit.as_ref().is_none_or(|u| u.contains("adu**2")), "the unit of VAR is {unit:?}");
}

#[test]
fn an_array_without_axes_is_refused_or_read_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("scalar.fits");
    let scalar = NDAstroData::new(arr0(7f32).into_dyn());
    match AstroData::from_extensions(Header::new(), vec![scalar]).write(&path, false) {
        Err(_) => assert_eq!(names(dir.path()), [""; 0]),
        Ok(()) => assert_eq!(AstroData::open(&path).unwrap()[0].data().unwrap().to_f64().sum(), 7.0),
    }
}

#[test]
fn a_stack_says_what_it_is() {
    let dir = TempDir::new().unwrap();
    let mut phu = Header::new();
    phu.set("OBJECT", "M 51", "");
    phu.push_history("flat-fielded");
    let paths: Vec<_> = (0..3).map(|i| dir.path().join(format!("night 1 [{i}].fits"))).collect();
    for (i, path) in paths.iter().enumerate() {
        AstroData::from_extensions(phu.clone(), vec![frame(i, &[4, 5])]).write(path, false).unwrap();
    }
    let out = dir.path().join("out.fits");
    let stack = Stack::files(&paths).unwrap().scale(vec![1.0, 0.5, 2.0]).zero(vec![0.0, -1.5, 3.0]);
    let engine = Engine::cpu(1).unwrap();
    let stats = stack.write(&engine, &out, false).unwrap();
    assert_eq!((stats.frames, stats.pixels), (3, 20));

    let judge = Judge::open(&out);
    judge.assert_sums();
    assert_eq!(judge.len(), 4);
    judge.select(0);
    assert_eq!((judge.integer("NEXTEND"), judge.integer("NCOMBINE"), judge.string("OBJECT")), (3, 3, "M 51".into()));
    for i in 0..3 {
        assert_eq!(judge.string(&format!("IMCMB00{}", i + 1)), format!("night 1 [{i}].fits"));
    }
    let history: Vec<String> = judge.cards().into_iter().filter(|c| c.starts_with("HISTORY")).collect();
    let said = history.join("\n");
    assert_eq!(history[0], "HISTORY flat-fielded", "what was done comes after what had been done");
    for part in ["3 frames", "combine mean", "reject none", "scale: 1,0.5,2", "zero: 0,-1.5,3"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    for (hdu, kind, unit) in [(1, -32, Some("adu")), (2, -32, Some("adu**2")), (3, 20, None)] {
        assert_eq!((judge.select(hdu).image_type(), judge.shape()), (kind, vec![4, 5]));
        unit.into_iter().for_each(|unit| assert_eq!(judge.string("BUNIT"), unit));
    }
    let (data, mask) = (judge.select(1).pixels::<f32>(), judge.select(3).pixels::<u16>());
    drop(judge);
    let (eval, _) = stack.eval(&engine).unwrap();
    let memory = planes(&eval[0]);
    assert_eq!(Pixels::from(Array1::from(data)).as_bytes(), memory[0].as_bytes(), "the file holds what eval gives");
    assert_eq!(Pixels::from(Array1::from(mask)).as_bytes(), memory[2].as_bytes());
    let values = memory[0].to_f64();
    let pixel = |frame: usize| f64::from((1000 + 7919 * frame + 31 * 8) as u16);
    // Pixel 8 is good in all frames.
    let want = (pixel(0) + (0.5 * pixel(1) - 1.5) + (2.0 * pixel(2) + 3.0)) / 3.0;
    assert!((values.as_slice().unwrap()[8] - want).abs() < 1e-6 * want);
}

/// 1,000 frames: IMCMBnnn ends at 999, and no number is cut off.
#[test]
fn a_stack_of_many_names_the_first_999() {
    let dir = TempDir::new().unwrap();
    let path = write_frames(dir.path(), 1, &[2, 2]).remove(0);
    let out = dir.path().join("out.fits");
    let ad = AstroData::open(&path).unwrap();
    Stack::of(vec![ad; 1000]).write(&Engine::cpu(1).unwrap(), &out, false).unwrap();
    let judge = Judge::open(&out);
    judge.assert_sums();
    assert_eq!(judge.select(0).integer("NCOMBINE"), 1000);
    assert_eq!(judge.cards().iter().filter(|c| c.starts_with("IMCMB")).count(), 999);
    assert!(judge.cards().iter().any(|c| c.starts_with("HISTORY") && c.contains("1000 frames")));
}

#[test]
fn names_in_the_input_that_fill_two_cards_are_replaced_whole() {
    let dir = TempDir::new().unwrap();
    let long = dir.path().join(format!("{}.fits", "long".repeat(30)));
    write_frame(&long, 0, &[2, 2]);
    let (once, twice) = (dir.path().join("once.fits"), dir.path().join("twice.fits"));
    let engine = Engine::cpu(1).unwrap();
    Stack::files([&long]).unwrap().write(&engine, &once, false).unwrap();
    let judge = Judge::open(&once);
    assert_eq!(judge.select(0).string("IMCMB001"), format!("{}.fits", "long".repeat(30)));
    drop(judge);
    Stack::files([&once]).unwrap().write(&engine, &twice, false).unwrap();
    let judge = Judge::open(&twice);
    let cards = judge.select(0).cards();
    assert_eq!(judge.string("IMCMB001"), "once.fits");
    assert!(!cards.iter().any(|c| c.starts_with("CONTINUE")), "{cards:#?}");
}

/// The umask of this process, as the system says it: reading it with `umask` would change it for other tests.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("Umask:")).unwrap();
    u32::from_str_radix(line.trim(), 8).unwrap()
}

#[test]
fn the_mode_is_what_the_umask_says() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out.fits");
    for overwrite in [false, true] {
        AstroData::from_extensions(Header::new(), vec![frame(0, &[2, 2])]).write(&out, overwrite).unwrap();
        assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o666 & !umask());
    }
}

#[test]
fn an_existing_target_is_replaced_only_on_demand() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out.fits");
    fs::write(&out, "precious").unwrap();
    let inputs = TempDir::new().unwrap();
    let stack = Stack::files(write_frames(inputs.path(), 2, &[4, 5])).unwrap();
    let engine = Engine::cpu(1).unwrap();
    let ad = AstroData::from_extensions(Header::new(), vec![frame(0, &[2, 2])]);
    for refused in [ad.write(&out, false).unwrap_err(), stack.write(&engine, &out, false).unwrap_err()] {
        assert!(matches!(refused, Error::Exists { .. }), "{refused:?}");
        assert_says(&refused.to_string(), &["out.fits", "exists", "--overwrite"]);
        assert_eq!((fs::read(&out).unwrap(), names(dir.path())), (b"precious".to_vec(), vec!["out.fits".to_string()]));
    }
    ad.write(&out, true).unwrap();
    assert_eq!(AstroData::open(&out).unwrap()[0].data().unwrap(), ad[0].data().unwrap());
    stack.write(&engine, &out, true).unwrap();
    assert_eq!(AstroData::open(&out).unwrap()[0].shape(), [4, 5]);
    assert_eq!(names(dir.path()), ["out.fits"]);
}

#[test]
fn a_file_is_written_over_the_one_it_was_read_from() {
    let (_dir, ad) = one_frame();
    let path = ad.path().unwrap().to_path_buf();
    ad.write(&path, true).unwrap();
    let back = AstroData::open(&path).unwrap();
    assert_eq!(planes(&back[0]), planes(&frame(0, &SHAPE)));
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    let frames = write_frames(dir.path(), 2, &[4, 5]);
    let stack = Stack::files(&frames).unwrap();
    let before = names(dir.path());
    fs::create_dir(dir.path().join("folder.fits")).unwrap();
    let refused = |name: &str| {
        let said = stack.write(&Engine::cpu(1).unwrap(), dir.path().join(name), true).unwrap_err().to_string();
        assert_says(&said, &[name, "cannot create the output"]);
        said
    };
    refused("nowhere/out.fits");
    assert_says(&refused("folder.fits"), &["not a regular file"]);
    refused("frame_0.fits/out.fits");
    assert_eq!(names(&dir.path().join("folder.fits")), [""; 0]);
    fs::remove_dir(dir.path().join("folder.fits")).unwrap();
    assert_eq!(names(dir.path()), before);
}

#[test]
fn an_input_is_never_the_output_under_any_name() {
    let dir = TempDir::new().unwrap();
    let frames = write_frames(dir.path(), 2, &[4, 5]);
    let (link, twin) = (dir.path().join("link.fits"), dir.path().join("twin.fits"));
    std::os::unix::fs::symlink(&frames[1], &link).unwrap();
    fs::hard_link(&frames[1], &twin).unwrap();
    let stack = Stack::files(&frames).unwrap();
    let before = (names(dir.path()), fs::read(&frames[1]).unwrap());
    for target in [&frames[1], &link, &twin, &dir.path().join("./frame_1.fits")] {
        let refused = stack.write(&Engine::cpu(1).unwrap(), target, true).unwrap_err();
        assert!(matches!(refused, Error::OutputIsInput { .. }), "{refused:?}");
        assert_says(&refused.to_string(), &[target.file_name().unwrap().to_str().unwrap(), "one of the inputs"]);
    }
    assert_eq!((names(dir.path()), fs::read(&frames[1]).unwrap()), before);
}
