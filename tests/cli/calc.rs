//! `ndastro calc`: extension by extension, with units, variance and mask, one pass over the bytes, in bounded memory.

use ndastro::Unit;

use super::*;

/// Three files of two extensions, SCI VAR DQ each, in adu.
fn night() -> (TempDir, Vec<String>) {
    let dir = TempDir::new().unwrap();
    let names = ["raw.fits", "bias.fits", "flat.fits"].map(String::from).to_vec();
    for (i, name) in names.iter().enumerate() {
        let extensions = vec![frame(3 * i + 1, &[61, 47]), frame(3 * i + 2, &[30, 20])];
        AstroData::from_extensions(Default::default(), extensions).write(dir.path().join(name), false).unwrap();
    }
    (dir, names)
}

const REDUCE: [&str; 7] =
    ["calc", "(raw - bias) / flat", "raw=raw.fits", "bias=bias.fits", "flat=flat.fits", "-o", "out.fits"];

/// What the frames come to, from the definition.
fn reduced(dir: &Path, extension: usize) -> (Vec<f64>, Vec<f64>, Vec<u32>) {
    let [raw, bias, flat] = ["raw.fits", "bias.fits", "flat.fits"].map(|f| three(&only(dir, f, extension)));
    let n = raw.0.len();
    let quotient: Vec<f64> = (0..n).map(|i| (raw.0[i] - bias.0[i]) / flat.0[i]).collect();
    let variance =
        (0..n).map(|i| (raw.1[i] + bias.1[i]) / flat.0[i].powi(2) + (quotient[i] / flat.0[i]).powi(2) * flat.1[i]);
    let variance = variance.collect();
    (quotient, variance, (0..n).map(|i| raw.2[i] | bias.2[i] | flat.2[i]).collect())
}

fn only(dir: &Path, name: &str, extension: usize) -> AstroData {
    let mut file = AstroData::open(dir.join(name)).unwrap();
    AstroData::from_extensions(Default::default(), vec![file.remove(extension).unwrap()])
}

#[test]
fn frames_are_reduced_on_each_engine() {
    let (dir, _) = night();
    let mut all: Vec<&str> = vec!["cpu"];
    all.extend(gpu().map(|_| "gpu"));
    for engine in all {
        let more = ["--engine", engine, "--overwrite", "--stats", "stats.json"];
        assert_eq!(run(dir.path(), REDUCE.iter().chain(&more)).ok(), "");
        for extension in 0..2 {
            let got = three(&only(dir.path(), "out.fits", extension));
            let want = reduced(dir.path(), extension);
            let planes = |p: &(Vec<f64>, Vec<f64>, Vec<u32>)| (p.0.clone(), p.1.clone(), p.2.clone());
            let ((a, b, c), (x, y, z)) = (planes(&got), planes(&want));
            let bounds = Bounds { data: Tolerance::Ulp32(1), variance: Tolerance::Ulp32(1) };
            compare(&Planes { data: &a, variance: &b, dq: &c }, &Planes { data: &x, variance: &y, dq: &z }, &bounds)
                .unwrap_or_else(|e| panic!("{engine}, extension {extension}: {e}"));
        }
        let out = AstroData::open(dir.path().join("out.fits")).unwrap();
        assert_eq!(out[0].unit(), None, "adu / adu has no unit to be written");
        let stats: Value = serde_json::from_slice(&fs::read(dir.path().join("stats.json")).unwrap()).unwrap();
        assert_eq!(stats["engine"], engine);
        // uint16, float32, uint16 a pixel, each once; and the headers of seven HDUs of three files.
        let bytes = 3 * ((61 * 47 + 30 * 20) * (2 + 4 + 2) + 7 * BLOCK);
        assert_eq!(stats["bytes_read"], bytes);
        fs::remove_file(dir.path().join("stats.json")).unwrap();
    }
}

#[test]
fn the_output_says_what_was_done_and_carries_tables() {
    let (dir, _) = night();
    run(dir.path(), REDUCE).ok();
    let out = FitsFile::open(dir.path().join("out.fits")).unwrap();
    let history: Vec<String> = out.hdus()[0].header.history().collect();
    assert!(history.iter().any(|l| l.contains("calc: (raw - bias) / flat")), "{history:?}");
    assert!(history.iter().any(|l| l.contains("flat = flat.fits")), "{history:?}");
    let names: Vec<_> = out.hdus()[1..].iter().map(|h| (h.name.clone().unwrap(), h.ver.unwrap())).collect();
    let want = [("SCI", 1), ("VAR", 1), ("DQ", 1), ("SCI", 2), ("VAR", 2), ("DQ", 2)];
    assert_eq!(names, want.map(|(n, v)| (n.to_string(), v)));
    assert_eq!(run(dir.path(), ["info", "out.fits"]).code, 0);
}

#[test]
fn further_planes_and_tables_of_the_first_file_are_carried() {
    let dir = TempDir::new().unwrap();
    let objects = ndarray::Array2::from_shape_fn((20, 30), |(y, x)| (y * x) as i32);
    let nd = frame(1, &[20, 30]).with_other("OBJMASK", objects.clone());
    let mut file = AstroData::from_extensions(Default::default(), vec![nd]);
    let source = FitsFile::open(data("images/tb.fits")).unwrap();
    file.append_table(source.raw(1).unwrap());
    file.write(dir.path().join("a.fits"), false).unwrap();
    for more in [&[][..], &["--compress", "rice"]] {
        let args = ["calc", "2 * a", "a=a.fits", "-o", "out.fits", "--overwrite"];
        run(dir.path(), args.iter().chain(more)).ok();
        let out = AstroData::open(dir.path().join("out.fits")).unwrap();
        assert_eq!(out[0].other("OBJMASK").unwrap(), Some(&Pixels::from(objects.clone())));
        assert_eq!(out.tables().len(), 1);
        assert_eq!(out.tables()[0].read().unwrap(), source.raw(1).unwrap().read().unwrap());
    }
}

#[test]
fn a_file_of_one_extension_goes_with_all_and_numbers_are_operands() {
    let (dir, _) = night();
    write_frame(&dir.path().join("dark.fits"), 9, &[30, 20]);
    let one = ["calc", "raw - dark", "raw=raw.fits", "dark=dark.fits", "-o", "a.fits"];
    run(dir.path(), one).failed(&["[61, 47]", "[30, 20]"]);
    let ext = one.iter().chain(&["--ext", "SCI,2"]);
    run(dir.path(), ext).ok();
    assert_eq!(AstroData::open(dir.path().join("a.fits")).unwrap().len(), 1);
    let gain = ["calc", "raw * gain", "raw=raw.fits", "gain=2.0+-0.5 electron/adu", "-o", "e.fits"];
    run(dir.path(), gain).ok();
    let electrons = AstroData::open(dir.path().join("e.fits")).unwrap();
    assert_eq!(electrons.len(), 2);
    assert_eq!(electrons[0].unit().map(Unit::as_str), Some("electron"));
    let (raw, got) = (three(&only(dir.path(), "raw.fits", 0)), three(&only(dir.path(), "e.fits", 0)));
    assert_eq!(got.0[7], 2.0 * raw.0[7]);
    assert_eq!(got.1[7] as f32, (4.0 * raw.1[7] + raw.0[7].powi(2) * 0.25) as f32);
}

#[test]
fn one_file_twice_is_one_variable() {
    let (dir, _) = night();
    run(dir.path(), ["calc", "a - b", "a=raw.fits", "b=raw.fits", "-o", "zero.fits"]).ok();
    let (data, variance, _) = three(&only(dir.path(), "zero.fits", 1));
    assert!(data.iter().chain(&variance).all(|v| *v == 0.0));
}

#[test]
fn planes_and_units_can_be_left_out() {
    let (dir, _) = night();
    run(dir.path(), REDUCE.iter().chain(&["--ignore-variance", "--ignore-mask", "--ignore-units"])).ok();
    let out = AstroData::open(dir.path().join("out.fits")).unwrap();
    assert!(!out[0].has_variance() && !out[0].has_mask() && out[0].unit().is_none());
    run(dir.path(), ["calc", "log10(raw)", "raw=raw.fits", "-o", "log.fits"]).failed(&[
        "log10",
        "adu",
        "dimensionless",
    ]);
    run(dir.path(), ["calc", "log10(raw)", "raw=raw.fits", "-o", "log.fits", "--ignore-units"]).ok();
    let seconds = ["calc", "raw + t", "raw=raw.fits", "t=3 s", "-o", "sum.fits"];
    run(dir.path(), seconds).failed(&["\"adu\"", "\"s\""]);
    run(dir.path(), ["calc", "raw + 3", "raw=raw.fits", "-o", "sum.fits"]).ok();
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_written() {
    let (dir, _) = night();
    let before = names(dir.path());
    let cases: [(&[&str], &[&str]); 9] = [
        (&["calc", "raw +", "raw=raw.fits"], &["expression", "missing"]),
        (&["calc", "raw - bias", "raw=raw.fits"], &["bias", "bias=FILE"]),
        (&["calc", "raw", "raw=raw.fits", "bias=bias.fits"], &["bias", "not in the expression"]),
        (&["calc", "raw", "raw=raw.fits", "raw=bias.fits"], &["raw", "twice"]),
        (&["calc", "raw", "raw.fits"], &["NAME=FILE"]),
        (&["calc", "raw", "raw=none.fits"], &["none.fits", "cannot open"]),
        (&["calc", "2 * x", "x=3"], &["none of the operands is a file"]),
        (&["calc", "raw ** raw", "raw=raw.fits"], &["power"]),
        (&["calc", "sin(raw)", "raw=raw.fits"], &["no function", "sqrt"]),
    ];
    for (args, parts) in cases {
        run(dir.path(), args.iter().chain(&["-o", "out.fits"])).failed(parts);
    }
    run(dir.path(), ["calc", "raw + 1", "raw=raw.fits", "-o", "raw.fits", "--overwrite"])
        .failed(&["one of the inputs"]);
    run(dir.path(), REDUCE.iter().chain(&["--memory", "1KiB"])).failed(&["--memory"]);
    assert_eq!(names(dir.path()), before);
}

#[test]
fn threads_memory_and_packing_do_not_matter() {
    let (dir, _) = night();
    run(dir.path(), REDUCE).ok();
    let want = fs::read(dir.path().join("out.fits")).unwrap();
    for more in [["--threads", "1"], ["--threads", "3"], ["--memory", "300KiB"]] {
        run(dir.path(), REDUCE.iter().chain(&more).chain(&["--overwrite", "--engine", "cpu"])).ok();
        assert!(fs::read(dir.path().join("out.fits")).unwrap() == want, "{more:?}");
    }
    run(dir.path(), ["copy", "raw.fits", "-o", "packed.fits", "--compress", "rice"]).ok();
    let packed = ["calc", "(raw - bias) / flat", "raw=packed.fits", "bias=bias.fits", "flat=flat.fits"];
    run(dir.path(), packed.iter().chain(&["-o", "p.fits"])).ok();
    for extension in 0..2 {
        assert_eq!(three(&only(dir.path(), "p.fits", extension)), three(&only(dir.path(), "out.fits", extension)));
    }
    run(dir.path(), REDUCE.iter().chain(&["--no-mmap", "--overwrite"])).ok();
    assert!(fs::read(dir.path().join("out.fits")).unwrap() == want, "read by calls");
}

#[test]
fn what_cfitsio_reads_is_what_was_computed() {
    let (dir, _) = night();
    run(dir.path(), REDUCE.iter().chain(&["--compress", "gzip"])).ok();
    let judge = Judge::open(&dir.path().join("out.fits"));
    judge.assert_sums();
}
