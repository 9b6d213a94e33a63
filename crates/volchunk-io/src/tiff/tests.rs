//! Fixtures that tifffile wrote (tests/data/make_tiff.py), the sink read back, hostile files.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use volchunk::{
    Axis, Buffer, Dtype, Element, ErrorKind, Region, Scratch, Source, View, VolumeInfo, dispatch,
};

use crate::file::Begin;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tiff")
}

/// File, axes, shape, dtype, storage chunk where compressed.
type Fixture = (&'static str, &'static str, &'static [u64], Dtype, Option<&'static [u64]>);

const ZYX: &[u64] = &[3, 23, 31];
const PAGES: &[u64] = &[2, 7, 9];
const STRIPS: Option<&[u64]> = Some(&[1, 6, 31]);
const TILES: Option<&[u64]> = Some(&[1, 16, 16]);

const FIXTURES: &[Fixture] = &[
    ("planes-big-endian", "zyx", &[12, 9, 11], Dtype::U16, None),
    ("pages-uint8.tif", "zyx", PAGES, Dtype::U8, None),
    ("pages-uint16.tif", "zyx", PAGES, Dtype::U16, None),
    ("pages-uint32.tif", "zyx", PAGES, Dtype::U32, None),
    ("pages-uint64.tif", "zyx", PAGES, Dtype::U64, None),
    ("pages-int8.tif", "zyx", PAGES, Dtype::I8, None),
    ("pages-int16.tif", "zyx", PAGES, Dtype::I16, None),
    ("pages-int32.tif", "zyx", PAGES, Dtype::I32, None),
    ("pages-int64.tif", "zyx", PAGES, Dtype::I64, None),
    ("pages-float32.tif", "zyx", PAGES, Dtype::F32, None),
    ("pages-float64.tif", "zyx", PAGES, Dtype::F64, None),
    ("bigtiff.tif", "zyx", ZYX, Dtype::U16, None),
    ("bigtiff-big-endian.tif", "zyx", ZYX, Dtype::I32, None),
    ("strips.tif", "zyx", ZYX, Dtype::U16, None),
    ("strips-scattered.tif", "zyx", ZYX, Dtype::U16, None),
    ("tiles.tif", "zyx", ZYX, Dtype::U16, None),
    ("tiles-deflate.tif", "zyx", ZYX, Dtype::U16, TILES),
    ("deflate.tif", "zyx", ZYX, Dtype::U16, STRIPS),
    ("deflate-horizontal.tif", "zyx", ZYX, Dtype::U16, STRIPS),
    ("deflate-horizontal-big-endian.tif", "zyx", ZYX, Dtype::I32, STRIPS),
    ("lzw-horizontal.tif", "zyx", ZYX, Dtype::U8, STRIPS),
    ("lzw.tif", "zyx", ZYX, Dtype::I16, STRIPS),
    ("packbits.tif", "zyx", ZYX, Dtype::U8, STRIPS),
    ("zstd.tif", "zyx", ZYX, Dtype::U16, STRIPS),
    ("zstd-uint64.tif", "zyx", ZYX, Dtype::U64, STRIPS),
    ("deflate-float.tif", "zyx", ZYX, Dtype::F32, STRIPS),
    ("tiles-float-big-endian.tif", "zyx", ZYX, Dtype::F32, TILES),
    ("deflate-float64.tif", "zyx", ZYX, Dtype::F64, STRIPS),
    ("rgb.tif", "yxc", &[23, 31, 3], Dtype::U8, None),
    ("rgb-deflate.tif", "zyxc", &[2, 23, 31, 3], Dtype::U16, Some(&[1, 6, 31, 3])),
    ("shaped.tif", "tzyx", &[2, 3, 7, 9], Dtype::U16, None),
    ("imagej-tzcyx.tif", "tzcyx", &[2, 3, 2, 7, 9], Dtype::U16, None),
    ("imagej-single.tif", "zyx", &[6, 7, 9], Dtype::U16, None),
    ("ome.ome.tif", "tczyx", &[2, 3, 2, 7, 9], Dtype::U16, None),
    ("ome-deflate.ome.tif", "zyx", ZYX, Dtype::F32, Some(ZYX_PLANE)),
];
const ZYX_PLANE: &[u64] = &[1, 23, 31];

/// The voxels that make_tiff.py puts in a volume.
fn expected(shape: &[u64], dtype: Dtype) -> Buffer {
    let n = Region::whole(shape).voxels();
    dispatch!(dtype, T => {
        let value = |n: u64| -> T {
            let v = ((40503 * n + n * n / 8) % 65521) as i64;
            match dtype {
                Dtype::F32 | Dtype::F64 => T::from_f64(v as f64 / 4.0 - 100.0),
                Dtype::I8 => T::from_i128(i128::from((v - 32760) as i8)),
                Dtype::I16 | Dtype::I32 | Dtype::I64 => T::from_i128(i128::from(v - 32760)),
                Dtype::Bool => T::from_i128(i128::from(v & 1)),
                Dtype::U8 => T::from_i128(i128::from(v & 255)),
                _ => T::from_i128(i128::from(v)),
            }
        };
        Buffer::from_slice::<T>(shape, &(0..n).map(value).collect::<Vec<_>>())
    })
}

fn read(source: &dyn Source, region: &Region) -> volchunk::Result<Buffer> {
    let mut out = Buffer::zeros(region.shape(), source.info().dtype);
    source.read(region, out.view_mut(), &mut Scratch::new())?;
    Ok(out)
}

/// The same through a window with gaps in every axis.
fn read_strided(source: &dyn Source, region: &Region) -> Buffer {
    let dtype = source.info().dtype;
    let wide: Vec<u64> = region.shape().iter().map(|n| n + 2).collect();
    let mut out = Buffer::zeros(&wide, dtype);
    let window = Region::new(vec![1; wide.len()], region.shape());
    source.read(region, out.view_mut().part_mut(&window), &mut Scratch::new()).unwrap();
    copy(out.view().part(&window))
}

fn copy(view: View<'_>) -> Buffer {
    let mut out = Buffer::zeros(view.shape(), view.dtype());
    out.view_mut().copy_from(&view);
    out
}

fn error(path: &Path) -> volchunk::Error {
    super::open(path).map(|s| format!("{:?}", s.info())).unwrap_err()
}

#[test]
fn fixtures_of_tifffile() {
    for &(name, axes, shape, dtype, chunk) in FIXTURES {
        let source = super::open(&data().join(name)).unwrap();
        let info = source.info();
        assert_eq!(
            (info.axis_names().as_str(), &info.shape[..], info.dtype),
            (axes, shape, dtype),
            "{name}"
        );
        assert_eq!(info.storage.as_ref().map(|s| &s.chunk[..]), chunk, "{name}");
        let whole = Region::whole(shape);
        let voxels = expected(shape, dtype);
        assert!(read(&*source, &whole).unwrap().bytes() == voxels.bytes(), "{name}");
        assert!(read_strided(&*source, &whole).bytes() == voxels.bytes(), "{name}, strided");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn a_region_is_a_slice_of_the_whole(
        which in 0..FIXTURES.len(),
        ends in prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 5),
        strided: bool,
    ) {
        let (name, _, shape, dtype, _) = FIXTURES[which];
        let region = Region::from_ranges(shape.iter().zip(&ends).map(|(&n, &(a, b))| {
            let start = (a * n as f64) as u64;
            start..start + 1 + (b * (n - start) as f64) as u64
        }));
        let source = super::open(&data().join(name)).unwrap();
        let part = if strided {
            read_strided(&*source, &region)
        } else {
            read(&*source, &region).unwrap()
        };
        let want = copy(expected(shape, dtype).view().part(&region));
        prop_assert!(part.bytes() == want.bytes(), "{name} {region}");
    }

    /// Truncated or with flipped bits, a file reads or fails; it never panics, and a claim never
    /// becomes memory beyond what the file can back.
    #[test]
    fn a_damaged_file_never_panics(
        which in 1..FIXTURES.len(),
        cut in prop::option::of(0.0..1.0f64),
        // Most flips near the ends, where headers and directories are.
        flips in prop::collection::vec((0.0..1.0f64, 0..8u8, any::<bool>()), 0..6),
    ) {
        let mut bytes = std::fs::read(data().join(FIXTURES[which].0)).unwrap();
        for (at, bit, near) in flips {
            let span = if near { bytes.len().min(400) } else { bytes.len() };
            bytes[(at * span as f64) as usize] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("damaged.tif");
        std::fs::write(&path, bytes).unwrap();
        let outcome = super::open(&path).and_then(|source| {
            let info = source.info();
            assert_eq!(info.axes.len(), info.ndim());
            // A plan would refuse larger ones by its memory cap.
            if info.bytes() > 64 << 20 || source.read_overhead() > 256 << 20 {
                return Ok(());
            }
            read(&*source, &Region::whole(&info.shape)).map(|_| ())
        });
        if let Err(e) = outcome {
            prop_assert!(e.to_string().contains("damaged.tif"), "{}", e);
        }
    }
}

/// Voxel size, unit and origin of every axis.
fn calibration(name: &str) -> Vec<(Option<f64>, Option<String>)> {
    let source = super::open(&data().join(name)).unwrap();
    source.info().axes.iter().map(|a| (a.scale, a.unit.clone())).collect()
}

#[test]
fn voxel_sizes() {
    let um = |v| (Some(v), Some("micrometer".to_owned()));
    let seconds = |v| (Some(v), Some("second".to_owned()));
    let none = || (None, None);
    let got = calibration("imagej-tzcyx.tif");
    assert_eq!(got, [seconds(0.5), um(5.0), none(), um(0.25), um(0.5)]);
    assert_eq!(calibration("imagej-single.tif"), [um(3.0), um(0.25), um(0.5)]);
    let nm = (Some(2000.0), Some("nanometer".to_owned()));
    assert_eq!(calibration("ome.ome.tif"), [seconds(1.5), none(), nm, um(0.5), um(0.25)]);
    assert_eq!(calibration("planes-big-endian"), [none(), none(), none()]);
}

#[test]
fn what_is_not_read_says_so() {
    for (name, kind, what) in [
        ("refused-jpeg2000.tif", ErrorKind::Unsupported, "JPEG 2000"),
        ("refused-planar.tif", ErrorKind::Unsupported, "separate planes"),
        ("refused-bilevel.tif", ErrorKind::Unsupported, "with 1 bits"),
        ("refused-mixed.tif", ErrorKind::InvalidData, "page 1 of"),
    ] {
        let e = error(&data().join(name));
        assert_eq!(e.kind(), kind, "{e}");
        assert!(e.to_string().contains(what) && e.to_string().contains(name), "{e}");
    }
}

#[test]
fn folders_that_are_no_volume() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.txt"), "no plane").unwrap();
    assert!(error(dir.path()).to_string().contains("no TIFF planes"));
    let copy = |from: &str, to: &str| {
        std::fs::copy(data().join(from), dir.path().join(to)).unwrap();
    };
    copy("planes-big-endian/plane0.tif", "a2.tif");
    copy("planes-big-endian/plane1.tif", "a10.TIFF");
    assert_eq!(&super::open(dir.path()).unwrap().info().shape[..], [2, 9, 11]);
    copy("rgb.tif", "b.tif");
    let e = error(dir.path()).to_string();
    assert!(e.contains("a2.tif is 9×11 uint16") && e.contains("b.tif is 23×31×3"), "{e}");
    copy("pages-uint8.tif", "b.tif");
    copy("pages-uint8.tif", "a1.tif");
    assert!(error(dir.path()).to_string().contains("one plane per file"));
}

/// A little-endian TIFF of one directory with these `(tag, type, count, value)`, 64 bytes in all
/// before it.
fn handmade(fields: &[(u16, u16, u32, u32)], next: u32) -> Vec<u8> {
    let mut bytes = b"II*\0\x40\0\0\0".to_vec();
    bytes.resize(64, 0);
    bytes.extend((fields.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in fields {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(next.to_le_bytes());
    bytes
}

fn image(width: u32, height: u32, compression: u32) -> Vec<(u16, u16, u32, u32)> {
    vec![
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (273, 4, 1, 8),
        (279, 4, 1, 40),
    ]
}

#[test]
fn hostile_headers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.tif");
    let fails = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let e = match super::open(&path) {
            Err(e) => e,
            Ok(source) => {
                let shape = vec![1; source.info().ndim()];
                read(&*source, &Region::new(vec![0; shape.len()], &shape)).unwrap_err()
            }
        };
        let e = e.to_string();
        assert!(e.contains(what) && e.contains("hostile.tif"), "{what}: {e}");
    };
    fails(b"", "truncated");
    fails(b"II*\0\x08\0", "truncated");
    fails(b"PK\x03\x04........", "not a TIFF");
    fails(b"II*\0\0\0\0\0", "no image");
    fails(&handmade(&image(5, 8, 1), 64), "loops");
    fails(&handmade(&image(5, 8, 1), 7777), "truncated");
    fails(&handmade(&image(0, 8, 1), 0), "ImageWidth is 0");
    // 2^62 voxels and more.
    fails(&handmade(&image(1 << 31, 1 << 31, 1), 0), "truncated");
    fails(&handmade(&image(u32::MAX, u32::MAX, 8), 0), "exceeds");
    fails(&handmade(&image(1 << 30, 1 << 30, 8), 0), "4 GiB");
    fails(&handmade(&image(1 << 15, 1 << 15, 8), 0), "cannot do");
    fails(&handmade(&image(5, 8, 7), 0), "JPEG");
    let mut lacking = image(5, 8, 1);
    lacking.remove(4);
    fails(&handmade(&lacking, 0), "tag 273");
    let mut outside = image(5, 8, 1);
    outside[4].3 = 4_000_000_000;
    fails(&handmade(&outside, 0), "truncated");
    let mut strips = image(5, 8, 1);
    strips.insert(5, (278, 3, 1, 1));
    fails(&handmade(&strips, 0), "needs 8 strips");
    let mut text = image(5, 8, 1);
    text.insert(4, (270, 2, 1 << 30, 9));
    fails(&handmade(&text, 0), "tag 270");
    // Not a stream of deflate.
    fails(&handmade(&image(5, 8, 8), 0), "does not decode");
}

#[test]
fn a_truncated_strip_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("short.tif");
    let bytes = std::fs::read(data().join("imagej-single.tif")).unwrap();
    // Within the fourth plane.
    std::fs::write(&path, &bytes[..800]).unwrap();
    let e = error(&path).to_string();
    assert!(e.contains("short.tif is truncated") && e.contains("claims 6 planes"), "{e}");
}

#[test]
fn several_files_of_ome_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.ome.tif");
    let mut bytes = std::fs::read(data().join("ome.ome.tif")).unwrap();
    // A third time point that the file has no pages for.
    let at = bytes.windows(9).position(|w| w == b"SizeT=\"2\"").unwrap();
    bytes[at + 7] = b'3';
    std::fs::write(&path, &bytes).unwrap();
    let e = error(&path);
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("all in one file"), "{e}");
}

#[test]
fn pages_in_the_order_of_tiff_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("swapped.ome.tif");
    let mut bytes = std::fs::read(data().join("ome.ome.tif")).unwrap();
    let at = bytes.windows(9).position(|w| w == b"<Channel ").unwrap();
    let stop = at + bytes[at..].windows(9).position(|w| w == b"</Pixels>").unwrap();
    let blocks = concat!(
        "<TiffData FirstT=\"1\" IFD=\"0\" PlaneCount=\"6\"/>",
        "<TiffData IFD=\"6\" PlaneCount=\"6\"/>"
    );
    assert!(blocks.len() <= stop - at, "room for the blocks");
    bytes[at..stop].fill(b' ');
    bytes[at..at + blocks.len()].copy_from_slice(blocks.as_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let source = super::open(&path).unwrap();
    let got = read(&*source, &Region::whole(&source.info().shape)).unwrap();
    let want = expected(&[2, 3, 2, 7, 9], Dtype::U16);
    let (first, second) = want.bytes().split_at(want.bytes().len() / 2);
    assert!(got.bytes() == [second, first].concat());
}

fn info(shape: &[u64], dtype: Dtype, axes: &str) -> VolumeInfo {
    let mut info = VolumeInfo::new(shape, dtype);
    info.axes = axes.chars().map(|c| Axis::new(c.to_string())).collect();
    for (k, axis) in info.axes.iter_mut().enumerate().filter(|(_, a)| a.name != "c") {
        axis.scale = Some(0.1 + k as f64 / 3.0);
        let (unit, origin) = if axis.name == "t" { ("second", 0.0) } else { ("micrometer", -7.25) };
        axis.unit = Some(unit.into());
        axis.origin = origin;
    }
    info
}

#[test]
fn written_volumes_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let shapes: [(&str, &[u64]); 6] = [
        ("yx", &[13, 17]),
        ("zyx", &[4, 13, 17]),
        ("zcyx", &[1, 2, 5, 6]),
        ("ctyx", &[2, 3, 5, 6]),
        ("tczyx", &[1, 2, 3, 5, 6]),
        ("tczyx", &[2, 1, 1, 1, 1]),
    ];
    for dtype in Dtype::ALL {
        for (k, (axes, shape)) in shapes.into_iter().enumerate() {
            let path = dir.path().join(format!("{k}-{axes}-{dtype}.tif"));
            let want = info(shape, dtype, axes);
            let sink = super::create(&path, &want, Begin::default()).unwrap();
            let voxels = expected(shape, dtype);
            // Two halves along each of the last axes, from as many threads.
            let halves = |n: u64| [0..n / 2, n / 2..n];
            let (y, x) = (shape[shape.len() - 2], shape[shape.len() - 1]);
            std::thread::scope(|threads| {
                for (y, x) in halves(y).into_iter().flat_map(|y| halves(x).map(|x| (y.clone(), x)))
                {
                    let lead = shape[..shape.len() - 2].iter().map(|&n| 0..n);
                    let region = Region::from_ranges(lead.chain([y, x]));
                    let (sink, voxels) = (&sink, &voxels);
                    threads.spawn(move || {
                        let part = voxels.view().part(&region);
                        sink.write(&region, part, &mut Scratch::new()).unwrap();
                    });
                }
            });
            assert!(!path.exists(), "not complete yet");
            sink.finish().unwrap();
            let source = super::open(&path).unwrap();
            let mut got = source.info().clone();
            if dtype == Dtype::Bool {
                assert_eq!(got.dtype, Dtype::U8);
                got.dtype = dtype;
            }
            assert_eq!(got, want, "{}", path.display());
            let got = read(&*source, &Region::whole(shape)).unwrap();
            assert!(got.bytes() == voxels.bytes(), "{}", path.display());
        }
    }
}

#[test]
fn what_a_tiff_cannot_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.tif");
    for (axes, shape, what) in [
        ("x", &[4u64][..], "'x'"),
        ("xyz", &[2, 3, 4], "'xyz'"),
        ("zzyx", &[2, 2, 3, 4], "'zzyx'"),
        ("ayx", &[2, 3, 4], "'ayx'"),
        ("zyx", &[2, 0, 4], "axis y"),
        ("yx", &[1, 1 << 32], "4294967295"),
        ("zyx", &[1 << 40, 1 << 31, 1 << 31], "addressed"),
    ] {
        let e = super::create(&path, &info(shape, Dtype::U16, axes), Begin::default());
        let e = e.map(|s| format!("{:?}", s.info())).unwrap_err().to_string();
        assert!(e.contains(what) && e.contains("out.tif"), "{e}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }
    let missing = dir.path().join("missing/out.tif");
    let small = info(&[2, 2], Dtype::U8, "yx");
    let e = super::create(&missing, &small, Begin::default()).map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
}

/// Planes larger than a piece that is written, with a true that is not 1.
#[test]
fn bool_is_written_as_0_and_1() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bool.tif");
    let shape = [2, 600, 1000];
    let sink = super::create(&path, &info(&shape, Dtype::Bool, "zyx"), Begin::default()).unwrap();
    let mut voxels = Buffer::zeros(&shape, Dtype::Bool);
    voxels.bytes_mut().fill(7);
    sink.write(&Region::whole(shape), voxels.view(), &mut Scratch::new()).unwrap();
    assert!(!path.exists());
    sink.finish().unwrap();
    let source = super::open(&path).unwrap();
    let found = read(&*source, &Region::whole(shape)).unwrap();
    assert!(found.bytes().iter().all(|&b| b == 1));
    let again = super::create(&path, source.info(), Begin::default()).map(|_| ());
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Exists);
}

/// 10 GB, of which the file system stores the directories only.
#[cfg(target_os = "linux")]
#[test]
fn a_crop_of_a_large_file_reads_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.tif");
    let shape = [1200, 2048, 2048];
    let sink = super::create(&path, &info(&shape, Dtype::U16, "zyx"), Begin::default()).unwrap();
    sink.finish().unwrap();
    let source = super::open(&path).unwrap();
    let head = source.bytes_read();
    assert!(head < 400_000, "{head} bytes to open 1200 pages");
    let crop = Region::new([700, 100, 300], [1, 256, 512]);
    read(&*source, &crop).unwrap();
    assert_eq!(source.bytes_read() - head, crop.voxels() * 2);
}

#[test]
fn a_strip_that_was_never_written_is_zero() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.tif");
    let mut fields = image(1000, 700, 8);
    (fields[4].3, fields[5].3) = (0, 0);
    std::fs::write(&path, handmade(&fields, 0)).unwrap();
    let source = super::open(&path).unwrap();
    let mut out = Buffer::from_slice(&[3, 5], &[7u8; 15]);
    source.read(&Region::new([2, 9], [3, 5]), out.view_mut(), &mut Scratch::new()).unwrap();
    assert_eq!(out.bytes(), [0; 15]);
}

/// Writes volumes and lets tifffile read them; `VOLCHUNK_PYTHON` names a Python that has it.
#[test]
fn tifffile_reads_what_is_written() {
    let Ok(python) = std::env::var("VOLCHUNK_PYTHON") else {
        println!("skipped: VOLCHUNK_PYTHON is not set to a Python with tifffile");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let script = data().join("../../interop/check_tiff.py");
    let mut command = std::process::Command::new(python);
    command.arg(script);
    let join = |values: Vec<String>| values.join(",");
    for dtype in Dtype::ALL.into_iter().filter(|&d| d != Dtype::Bool) {
        for (axes, shape) in
            [("yx", &[13u64, 17][..]), ("zyx", &[4, 13, 17]), ("tzcyx", &[2, 3, 4, 5, 6])]
        {
            let path = dir.path().join(format!("{axes}-{dtype}.tif"));
            let info = info(shape, dtype, axes);
            let sink = super::create(&path, &info, Begin::default()).unwrap();
            let voxels = expected(shape, dtype);
            sink.write(&Region::whole(shape), voxels.view(), &mut Scratch::new()).unwrap();
            sink.finish().unwrap();
            let scale = info.axes.iter().map(|a| a.scale.unwrap_or(0.0).to_string()).collect();
            command.arg(&path).arg(axes).arg(join(shape.iter().map(u64::to_string).collect()));
            command.arg(dtype.name()).arg(join(scale));
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}
