//! Tables kept, found again, torn.

use super::*;
use crate::{ErrorKind, sweep};

fn table(rows: &[f64]) -> Buffer {
    Buffer::from_slice(&[rows.len() as u64, 1], rows)
}

fn open(path: &Path) -> Spool {
    let grid = ChunkGrid::new(&[40], &[4]).unwrap();
    Spool::open(path, VolumeInfo::new(&[40], Dtype::U8), &grid, Some(1), false).unwrap()
}

fn put(spool: &Spool, number: u64, rows: &[f64]) {
    let region = spool.grid().chunk(number).core;
    spool.write(&region, table(rows).view(), &mut Scratch::new()).unwrap();
}

/// Wherever the file is cut, what was whole stands, and what was torn is written anew.
#[test]
fn torn_tables_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.spool");
    let whole = {
        let spool = open(&path);
        put(&spool, 3, &[12.0, 13.0]);
        put(&spool, 0, &[]);
        put(&spool, 9, &[37.0]);
        fs::read(&path).unwrap()
    };
    let ends = [HEAD, 16 + 32 + 16, 16 + 32 + 16 + 32, whole.len() as u64];
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let spool = open(&path);
        let left = ends.iter().filter(|&&e| e <= cut as u64).count().saturating_sub(1);
        let expected = [Some(2), Some(0), Some(1)];
        let expected = expected.iter().enumerate().map(|(k, r)| r.filter(|_| k < left));
        assert_eq!([3, 0, 9].map(|n| spool.rows(n)).to_vec(), expected.collect::<Vec<_>>());
        put(&spool, 9, &[36.0, 38.0]);
        drop(spool);
        assert_eq!(open(&path).table(9).unwrap().unwrap().as_slice::<f64>(), [36.0, 38.0]);
    }
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.spool");
    put(&open(&path), 2, &[8.5]);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let spool = open(&path);
    assert!(spool.table(2).unwrap_err().to_string().contains("chunk 2"));
    let other = ChunkGrid::new(&[40], &[4]).unwrap();
    let info = VolumeInfo::new(&[40], Dtype::U8);
    let error = Spool::open(&path, info.clone(), &other, Some(2), false).unwrap_err();
    assert!(error.to_string().contains("2 columns"));
    fs::write(&path, b"something else entirely").unwrap();
    assert!(Spool::read(&path, info, &other).is_err());
}

/// Tables without rows say nothing of columns; the first with rows does, for good.
#[test]
fn the_first_rows_tell_the_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.spool");
    let grid = ChunkGrid::new(&[40], &[4]).unwrap();
    let open =
        || Spool::open(&path, VolumeInfo::new(&[40], Dtype::U8), &grid, None, false).unwrap();
    let write = |spool: &Spool, number: u64, shape: [u64; 2], rows: &[f64]| {
        let region = grid.chunk(number).core;
        let table = Buffer::from_slice(&shape, rows);
        spool.write(&region, table.view(), &mut Scratch::new())
    };
    let spool = open();
    write(&spool, 0, [0, 1], &[]).unwrap();
    assert_eq!((spool.columns(), spool.rows(0)), (0, Some(0)));
    assert_eq!(sweep(&[&spool], 0, &mut |_| Ok(())).unwrap_err().kind(), ErrorKind::InvalidData);
    drop(spool);
    let spool = open();
    assert_eq!((spool.rows(0), Spool::columns_in(&path).unwrap()), (Some(0), 0));
    write(&spool, 1, [1, 3], &[4.0, 0.5, 0.25]).unwrap();
    write(&spool, 2, [0, 1], &[]).unwrap();
    assert!(write(&spool, 3, [1, 2], &[12.0, 1.0]).is_err());
    drop(spool);
    for spool in [open(), Spool::read(&path, VolumeInfo::new(&[40], Dtype::U8), &grid).unwrap()] {
        assert_eq!((spool.columns(), Spool::columns_in(&path).unwrap()), (3, 3));
        assert_eq!([0, 1, 2, 3].map(|n| spool.rows(n)), [Some(0), Some(1), Some(0), None]);
        assert_eq!(spool.table(1).unwrap().unwrap().as_slice::<f64>(), [4.0, 0.5, 0.25]);
    }
    // As if the header had been lost: no rows can be told, and the receipts will say so.
    let mut bytes = fs::read(&path).unwrap();
    bytes[12] = 0;
    fs::write(&path, &bytes).unwrap();
    assert_eq!([0, 1, 2].map(|n| open().rows(n)), [Some(0), None, None]);
}

#[test]
fn all_empty_sweeps_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let grid = ChunkGrid::new(&[8], &[4]).unwrap();
    let info = VolumeInfo::new(&[8], Dtype::U8);
    let spool = Spool::open(&folder.path().join("0.spool"), info, &grid, None, false).unwrap();
    for number in 0..2 {
        let region = grid.chunk(number).core;
        let table = Buffer::zeros(&[0, 1], Dtype::F64);
        spool.write(&region, table.view(), &mut Scratch::new()).unwrap();
    }
    assert_eq!(sweep(&[&spool], 0, &mut |_| Ok(())).unwrap(), 0);
}

#[test]
fn a_temporary_one_leaves_nothing() {
    let grid = ChunkGrid::new(&[40], &[4]).unwrap();
    let spool = Spool::temporary(VolumeInfo::new(&[40], Dtype::U8), &grid, 1).unwrap();
    let path = spool.path.clone();
    assert!(path.exists());
    for n in 0..10 {
        put(&spool, n, &[4.0 * n as f64]);
    }
    let mut rows = 0;
    let count = &mut |batch: &[f64]| {
        rows += batch.len();
        Ok(())
    };
    sweep(&[&spool], 1, count).unwrap();
    assert_eq!(rows, 10);
    drop(spool);
    assert!(!path.exists());
}
