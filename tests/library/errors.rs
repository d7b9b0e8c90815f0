//! What an error says.

use super::*;

#[test]
fn a_plane_of_another_shape_is_named() {
    let dir = TempDir::new().unwrap();
    let sci = || ("SCI", 1, Pixels::from(filled(&[4, 5], |i| i as f32)));
    for (i, plane) in
        [("VAR", 1, Pixels::from(filled(&[5, 4], |_| 1f32))), ("DQ", 1, Pixels::from(filled(&[4, 5, 1], |_| 0u16)))]
            .into_iter()
            .enumerate()
    {
        let name = format!("plane_{i}.fits");
        let found = format!("{:?}", plane.2.shape());
        write_images(&dir.path().join(&name), &[sci(), plane]);
        let error = AstroData::open(dir.path().join(&name)).err().unwrap();
        assert!(matches!(error, Error::Shape { .. }), "{error:?}");
        assert_says(&error.to_string(), &[&name, "HDU 2", &format!("{found} found"), "[4, 5] expected", "HDU 1"]);
    }
    let nd = || NDAstroData::new(filled(&[4, 5], |i| i as f32));
    for error in [nd().with_variance(filled(&[5, 4], |_| 1f32)).err(), nd().with_mask(filled(&[5, 4], |_| 1u8)).err()] {
        assert_says(&error.unwrap().to_string(), &["[5, 4] found", "[4, 5] expected"]);
    }
}

#[test]
fn a_mask_that_is_no_mask_is_named() {
    let dir = TempDir::new().unwrap();
    let sci = || ("SCI", 1, Pixels::from(filled(&[4, 5], |i| i as f32)));
    let masks: [(&str, Pixels); 3] = [
        ("float32", filled(&[4, 5], |_| 0f32).into()),
        ("float64", filled(&[4, 5], |_| 0f64).into()),
        ("int64", filled(&[4, 5], |_| 0i64).into()),
    ];
    for (found, mask) in masks {
        let name = format!("{found}.fits");
        write_images(&dir.path().join(&name), &[sci(), ("DQ", 1, mask.clone())]);
        let error = AstroData::open(dir.path().join(&name)).err().unwrap().to_string();
        assert_says(&error, &[&name, "HDU 2", "mask", "integers of at most 32 bits", found]);
        let error = NDAstroData::new(filled(&[4, 5], |i| i as f32)).with_mask(mask).err().unwrap().to_string();
        assert_says(&error, &["mask", found]);
    }
}

#[test]
fn frames_that_do_not_fit_together_are_named() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    write_frame(&path("first.fits"), 0, &[4, 5]);
    write_frame(&path("turned.fits"), 1, &[5, 4]);
    let two = AstroData::from_extensions(Header::new(), vec![frame(0, &[4, 5]), frame(1, &[4, 5])]);
    two.write(path("two.fits"), false).unwrap();
    let engine = Engine::cpu(1).unwrap();
    let stacked = |names: [&str; 2]| {
        let stack = Stack::files(names.map(path)).unwrap();
        assert!(stack.write(&engine, path("out.fits"), false).is_err() && !path("out.fits").exists());
        stack.eval(&engine).map(drop).unwrap_err().to_string()
    };
    let said = stacked(["first.fits", "turned.fits"]);
    assert_says(&said, &["turned.fits", "HDU 1", "[5, 4] found", "[4, 5] expected", "first.fits"]);
    assert_says(&stacked(["first.fits", "two.fits"]), &["two.fits", "2 extensions", "1 expected", "first.fits"]);
    assert_says(&stacked(["two.fits", "first.fits"]), &["first.fits", "1 extensions", "2 expected", "two.fits"]);
}

#[test]
fn frames_of_other_units_are_not_stacked() {
    let engine = Engine::cpu(1).unwrap();
    let of = |unit: &str| {
        let nd = NDAstroData::new(filled(&[4, 5], |i| i as f32));
        if unit.is_empty() { nd } else { nd.with_unit(unit) }
    };
    let stacked = |units: [&str; 3]| Stack::new(units.map(of)).eval(&engine).map(drop);
    for same in [["adu", "ADU", "adu"], ["", "", ""], ["adu", "", "adu"], ["", "adu", ""], ["wat ", "wat", "wat"]] {
        stacked(same).unwrap();
    }
    for (units, says) in [
        (["adu", "adu", "electron"], &["electron", "adu", "do not convert"][..]),
        (["", "Jy", "mJy"], &["mJy", "Jy", "multiply it by 0.001"]),
        (["wat", "wat", "what"], &["what", "wat", "do not convert"]),
    ] {
        let error = stacked(units).unwrap_err();
        assert!(matches!(error, Error::Unit(_)), "{error:?}");
        assert_says(&error.to_string(), says);
    }
}

#[test]
fn parameters_outside_of_their_domain_are_named() {
    let engine = Engine::cpu(1).unwrap();
    let stack = || Stack::new((0..3).map(|i| frame(i, &[4, 5])));
    let said = |stack: Stack| stack.eval(&engine).map(drop).unwrap_err().to_string();
    assert_says(&said(stack().scale(vec![1.0; 2])), &["scale", "2 values", "3 frames"]);
    assert_says(&said(stack().zero(vec![0.0; 4])), &["zero", "4 values", "3 frames"]);
    for bad in [0.0, -1.0] {
        assert_says(&said(stack().scale(vec![1.0, bad, 1.0])), &["scale", "not positive"]);
    }
    for bad in [f64::NAN, f64::INFINITY] {
        assert_says(&said(stack().scale(vec![1.0, bad, 1.0])), &["scale", "not finite"]);
        assert_says(&said(stack().zero(vec![0.0, bad, 0.0])), &["zero", "not finite"]);
    }
    assert_says(&said(Stack::new([])), &["no frames"]);
    assert_says(&said(stack().memory(10)), &["bytes of memory", "10 are allowed", "--memory"]);
}

#[test]
fn the_smallest_budget_that_an_error_names_is_enough() {
    let engine = Engine::cpu(1).unwrap();
    let stack = Stack::new((0..3).map(|i| frame(i, &[4, 5])));
    let Err(Error::Budget { needed, .. }) = stack.clone().memory(1).eval(&engine) else { panic!("1 byte is enough") };
    let (little, _) = stack.clone().memory(needed).eval(&engine).unwrap();
    let (much, _) = stack.eval(&engine).unwrap();
    assert_eq!(planes(&little[0]), planes(&much[0]));
}

#[test]
fn a_file_that_is_cut_off_is_an_error_wherever_it_is_cut() {
    let dir = TempDir::new().unwrap();
    let (whole, cut) = (dir.path().join("whole.fits"), dir.path().join("cut.fits"));
    write_frame(&whole, 0, &[40, 50]);
    let bytes = fs::read(&whole).unwrap();
    let file = FitsFile::open(&whole).unwrap();
    let starts: Vec<usize> = file.hdus().iter().map(|h| h.data.end.next_multiple_of(BLOCK as u64) as usize).collect();
    for len in (1..bytes.len()).step_by(997).chain([bytes.len() - 1, BLOCK - 1, BLOCK + 1]) {
        if starts.contains(&len) {
            continue;
        }
        fs::write(&cut, &bytes[..len]).unwrap();
        let error = AstroData::open(&cut).err().unwrap_or_else(|| panic!("{len} of {} bytes are enough", bytes.len()));
        assert_says(&error.to_string(), &["cut.fits"]);
    }
    // In the middle of the variance: both lengths are said.
    let end = &file.hdus()[2].data;
    let len = (end.start + end.end) / 2;
    fs::write(&cut, &bytes[..len as usize]).unwrap();
    let error = AstroData::open(&cut).err().unwrap().to_string();
    assert_says(&error, &["cut.fits", "HDU 2", "truncated", &end.end.to_string(), &len.to_string()]);
}

#[test]
fn what_is_no_fits_file_is_named() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("empty"), "").unwrap();
    fs::write(path("text"), "SIMPLE things are hard").unwrap();
    fs::write(path("other"), "PNG or whatever").unwrap();
    fs::create_dir(path("folder")).unwrap();
    let fifo = std::ffi::CString::new(path("fifo").to_str().unwrap()).unwrap();
    // SAFETY: a NUL-terminated path and plain numbers.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    for (name, why) in [
        ("missing", "cannot open"),
        ("empty", "empty"),
        ("text", "END"),
        ("other", "SIMPLE"),
        ("folder", "directory"),
        // Without a writer: opening it the usual way would wait for ever.
        ("fifo", "not a regular file"),
    ] {
        let said = AstroData::open(path(name)).err().unwrap().to_string();
        assert_says(&said, &[path(name).to_str().unwrap(), why]);
        assert_eq!(Stack::files([path(name)]).err().unwrap().to_string(), said);
    }
    assert_says(&AstroData::open("/dev/null").err().unwrap().to_string(), &["/dev/null", "not a regular file"]);
}

#[test]
fn a_name_cannot_write_to_the_terminal() {
    let dir = TempDir::new().unwrap();
    let said = AstroData::open(dir.path().join("a\nb\x1b[31m.fits")).err().unwrap().to_string();
    assert_says(&said, &["\\n", "\\u{1b}", "cannot open"]);
}
