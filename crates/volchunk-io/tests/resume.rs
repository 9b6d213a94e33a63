//! Outputs that are taken up again: what was written stays, what is not the same is refused, what
//! is gone is told.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{fs, path::Path};

use common::{Rng, files_below, part, read};
use volchunk::{Buffer, Coords, Dtype, ErrorKind, Region, Scratch, Sink, StorageGrid, VolumeInfo};
use volchunk_io::{
    CreateOptions, OutputState, Pyramid, create, open, output_state, partial_path, resume,
};

const SHAPE: [u64; 3] = [8, 12, 10];

fn info(ending: &str) -> VolumeInfo {
    let mut info = VolumeInfo::new(&SHAPE, Dtype::U16);
    if ending != "npy" && ending != "tif" {
        let chunk = Coords::from_slice(&[4, 4, 5]);
        let shard = (ending == "sharded.zarr").then(|| Coords::from_slice(&[4, 4, 10]));
        info.storage = Some(StorageGrid { chunk, shard });
    }
    info
}

const ENDINGS: [&str; 4] = ["npy", "tif", "zarr", "sharded.zarr"];

/// Six chunks of whole write units.
fn regions() -> Vec<Region> {
    let starts = [0, 4].iter().flat_map(|&z| [0, 4, 8].map(|y| (z, y)));
    starts.map(|(z, y)| Region::new([z, y, 0], [4, 4, 10])).collect()
}

fn write(sink: &dyn Sink, whole: &Buffer, region: &Region) {
    sink.write(region, whole.view().part(region), &mut Scratch::new()).unwrap();
}

#[test]
fn what_was_written_stays() {
    let mut rng = Rng(5);
    for ending in ENDINGS {
        for durable in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a").with_extension(ending);
            let options = CreateOptions { durable, ..Default::default() };
            let whole = rng.voxels(&SHAPE, Dtype::U16);
            for (k, region) in regions().iter().enumerate() {
                // The first time it is created.
                let sink = resume(&path, &info(ending), &options).unwrap();
                write(&*sink, &whole, region);
                for (j, other) in regions().iter().enumerate() {
                    let stored = sink.stored_bytes(other).unwrap();
                    // A file of its own length holds everything, written or not.
                    assert_eq!(stored > 0, j <= k || !ending.ends_with("zarr"), "{ending}");
                    if j > k {
                        continue;
                    }
                    let mut back = Buffer::zeros(other.shape(), Dtype::U16);
                    sink.read_back(other, back.view_mut(), &mut Scratch::new()).unwrap();
                    assert!(back.bytes() == part(&whole, other).bytes(), "{ending} {other}");
                }
                assert_eq!(output_state(&path).unwrap(), OutputState::Partial);
            }
            resume(&path, &info(ending), &options).unwrap().finish().unwrap();
            let found = read(&*open(&path).unwrap(), &Region::whole(SHAPE)).unwrap();
            assert!(found.bytes() == whole.bytes(), "{ending}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{ending}: nothing beside it");

            // Taken up once more, it is complete no more, and everything is still there.
            create(&path, &info(ending), &options).map(|_| ()).unwrap_err();
            let sink = resume(&path, &info(ending), &options).unwrap();
            assert_eq!(output_state(&path).unwrap(), OutputState::Partial);
            assert!(regions().iter().all(|r| sink.stored_bytes(r).unwrap() > 0));
            sink.finish().unwrap();
            let found = read(&*open(&path).unwrap(), &Region::whole(SHAPE)).unwrap();
            assert!(found.bytes() == whole.bytes(), "{ending}");
        }
    }
}

#[test]
fn another_output_is_refused() {
    for ending in ENDINGS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a").with_extension(ending);
        drop(create(&path, &info(ending), &CreateOptions::default()).unwrap());
        let mut smaller = info(ending);
        smaller.shape[0] = 4;
        let error = resume(&path, &smaller, &CreateOptions::default()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        let name = format!("a.{ending}");
        assert!(error.to_string().contains(&name), "{error}");
        assert_eq!(output_state(&path).unwrap(), OutputState::Partial);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zarr");
    drop(create(&path, &info("zarr"), &CreateOptions::default()).unwrap());
    let other = CreateOptions { zstd_level: Some(5), ..Default::default() };
    let error = resume(&path, &info("zarr"), &other).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("zarr.json is not what this job writes"), "{error}");
    // What is lost of its metadata the rest vouches for.
    for lost in ["zarr.json", "0/zarr.json"] {
        fs::write(path.join(lost), "").unwrap();
        drop(resume(&path, &info("zarr"), &CreateOptions::default()).unwrap());
        assert!(fs::metadata(path.join(lost)).unwrap().len() > 99);
    }
    // A folder that anybody may have made.
    let path = dir.path().join("b.zarr");
    fs::create_dir(&path).unwrap();
    let error = resume(&path, &info("zarr"), &CreateOptions::default()).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
}

#[test]
fn what_is_cut_off_is_told() {
    let mut rng = Rng(6);
    for ending in ["npy", "tif"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a").with_extension(ending);
        let whole = rng.voxels(&SHAPE, Dtype::U16);
        let sink = create(&path, &info(ending), &CreateOptions::default()).unwrap();
        regions().iter().for_each(|r| write(&*sink, &whole, r));
        let bytes = sink.stored_bytes(&regions()[0]).unwrap();
        assert_eq!(bytes, 4 * 4 * 10 * 2);
        drop(sink);
        let file = fs::File::options().write(true).open(partial_path(&path)).unwrap();
        let len = file.metadata().unwrap().len();
        // All of the last row of the last chunk.
        file.set_len(len - 21).unwrap();
        let again = || resume(&path, &info(ending), &CreateOptions::default()).map(|_| ());
        // Twice: the first try must not make it long again.
        for _ in 0..2 {
            let error = again().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
            assert_eq!(fs::metadata(partial_path(&path)).unwrap().len(), len - 21);
        }
        // Nor if it was complete.
        fs::rename(partial_path(&path), &path).unwrap();
        assert_eq!(again().unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(fs::metadata(&path).unwrap().len(), len - 21);
    }
    for ending in ["zarr", "sharded.zarr"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a").with_extension(ending);
        let whole = rng.voxels(&SHAPE, Dtype::U16);
        let sink = create(&path, &info(ending), &CreateOptions::default()).unwrap();
        regions().iter().for_each(|r| write(&*sink, &whole, r));
        let stored = |r: &Region| sink.stored_bytes(r).unwrap();
        let before: Vec<u64> = regions().iter().map(stored).collect();
        let files: Vec<_> = files_below(&path.join("0/c"));
        fs::remove_file(&files[0]).unwrap();
        let last = fs::File::options().write(true).open(files.last().unwrap()).unwrap();
        last.set_len(7).unwrap();
        for (k, region) in regions().iter().enumerate() {
            assert_eq!(stored(region) == before[k], k != 0 && k != 5, "{ending} {k}");
        }
    }
}

/// What a killed process left behind is covered by its next writer, or removed.
#[test]
fn leftovers_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zarr");
    let whole = Rng(7).voxels(&SHAPE, Dtype::U16);
    fs::create_dir_all(dir.path().join("a.zarr.volchunk/new/0")).unwrap();
    let sink = create(&path, &info("zarr"), &CreateOptions::default()).unwrap();
    fs::create_dir_all(path.join("0/c/0/0")).unwrap();
    fs::write(path.join("0/c/0/0/.1.partial"), "half").unwrap();
    fs::write(path.join(".zarr.json.partial"), "half").unwrap();
    regions().iter().for_each(|r| write(&*sink, &whole, r));
    sink.finish().unwrap();
    let files = files_below(dir.path());
    assert!(files.iter().all(|f| !f.to_string_lossy().contains(".partial")), "{files:?}");
    assert!(files.iter().all(|f| !f.to_string_lossy().contains(".volchunk")), "{files:?}");
}

#[test]
fn a_pyramid_is_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zarr");
    let mut coarse = info("zarr");
    coarse.shape = Coords::from_slice(&[4, 6, 5]);
    let levels = [info("zarr"), coarse];
    let options = CreateOptions::default();
    let first = Pyramid::resume(&path, &levels, &options).unwrap();
    let voxels = Rng(8).voxels(&SHAPE, Dtype::U16);
    write(&*first.sink(0).unwrap(), &voxels, &Region::whole(SHAPE));
    drop(first);
    assert!(Pyramid::create(&path, &levels, &options).is_err());
    assert!(Pyramid::resume(&path, &levels[..1], &options).is_err());
    let again = Pyramid::resume(&path, &levels, &options).unwrap();
    let found = read(&*again.source(0).unwrap(), &Region::whole(SHAPE)).unwrap();
    assert!(found.bytes() == voxels.bytes());
    again.finish().unwrap();
    assert!(matches!(output_state(&path).unwrap(), OutputState::Complete { .. }));
}

fn rewrite(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let time = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time + std::time::Duration::from_secs(1)).unwrap();
}

/// A storage chunk or plane that is written anew, in place, changes the stamps of what it holds, and
/// no others.
#[test]
fn stamps_follow_the_files() {
    let mut rng = Rng(9);
    let dir = tempfile::tempdir().unwrap();
    let whole = rng.voxels(&SHAPE, Dtype::U16);
    let check = |path: &Path, file: &Path, holds: &dyn Fn(&Region) -> bool| {
        let source = open(path).unwrap();
        // A plane that is another now has none: its voxels may lie elsewhere in it.
        let of = |r: &Region| source.stamp(r).ok();
        let before: Vec<Option<u64>> = regions().iter().map(of).collect();
        assert!(before.iter().all(Option::is_some));
        assert_eq!(before, regions().iter().map(of).collect::<Vec<_>>());
        rewrite(file);
        for (region, before) in regions().iter().zip(before) {
            assert_eq!(of(region) != before, holds(region), "{} {region}", file.display());
        }
    };
    for ending in ["zarr", "sharded.zarr"] {
        let path = dir.path().join("a").with_extension(ending);
        let sink = create(&path, &info(ending), &CreateOptions::default()).unwrap();
        regions().iter().for_each(|r| write(&*sink, &whole, r));
        sink.finish().unwrap();
        let file = path.join(if ending == "zarr" { "0/c/1/2/1" } else { "0/c/1/2/0" });
        check(&path, &file, &|r| r.start()[..2] == [4, 8]);
    }
    let planes = dir.path().join("planes");
    fs::create_dir(&planes).unwrap();
    for z in 0..8 {
        let region = Region::new([z, 0, 0], [1, 12, 10]);
        let plane = part(&whole, &region);
        let plane = Buffer::from_slice(&[12, 10], plane.as_slice::<u16>());
        let flat = VolumeInfo::new(&[12, 10], Dtype::U16);
        let path = planes.join(format!("{z}.tif"));
        let sink = create(&path, &flat, &CreateOptions::default()).unwrap();
        write(&*sink, &plane, &Region::whole([12, 10]));
        sink.finish().unwrap();
    }
    check(&planes, &planes.join("6.tif"), &|r| r.start()[0] == 4);
}
