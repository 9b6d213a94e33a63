//! How near reading and writing come to libzstd's own speed; run by hand:
//! `cargo test -p volchunk-io --release zarr::tests::speed -- --ignored --nocapture --test-threads=1`

use std::{fs, hint::black_box};

use volchunk::{Buffer, Dtype, Region, Scratch, StorageGrid, VolumeInfo};

use super::data;
use crate::{
    CreateOptions,
    zarr::{create, open},
};

/// CPU seconds of this thread so far.
fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() * 1e-9
}

/// The least CPU seconds of a few runs.
fn least(mut run: impl FnMut()) -> f64 {
    let mut times = Vec::new();
    for _ in 0..7 {
        let start = cpu();
        run();
        times.push(cpu() - start);
    }
    times.into_iter().fold(f64::MAX, f64::min)
}

/// Smooth structure and noise, as images have.
fn image(shape: &[u64]) -> Buffer {
    let mut buffer = Buffer::zeros(shape, Dtype::U16);
    let mut noise = 1u32;
    for (i, slot) in buffer.as_slice_mut::<u16>().iter_mut().enumerate() {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let smooth = 400.0 * (1.0 + (i as f64 / 3000.0).sin() * (i as f64 / 90.0).cos());
        *slot = smooth as u16 + (noise >> 28) as u16;
    }
    buffer
}

#[test]
#[ignore = "a measurement"]
fn against_libzstd() {
    let folder = tempfile::tempdir().unwrap();
    for chunk in [[64u64, 256, 256], [128, 256, 256]] {
        let voxels = image(&chunk);
        let mib = voxels.bytes().len() as f64 / (1 << 20) as f64;
        let mut compressor = ::zstd::bulk::Compressor::new(3).unwrap();
        let mut decompressor = ::zstd::bulk::Decompressor::new().unwrap();
        let mut encoded = vec![0; ::zstd::zstd_safe::compress_bound(voxels.bytes().len())];
        let mut len = 0;
        let encode = least(|| {
            len = compressor.compress_to_buffer(voxels.bytes(), &mut encoded).unwrap();
        });
        let mut out = Buffer::zeros(&chunk, Dtype::U16);
        let decode = least(|| {
            decompressor.decompress_to_buffer(&encoded[..len], out.bytes_mut()).unwrap();
        });

        let region = Region::whole(chunk);
        let mut scratch = Scratch::new();
        let mut info = VolumeInfo::new(&chunk, Dtype::U16);
        let mut sink_for = |name: &str, shard: bool| {
            info.storage = Some(StorageGrid {
                chunk: if shard { [32u64, 128, 128][..].into() } else { chunk[..].into() },
                shard: shard.then(|| chunk[..].into()),
            });
            create(
                &folder.path().join(format!("{name}{mib}.zarr")),
                &info,
                &CreateOptions::default(),
            )
            .unwrap()
        };
        let sink = sink_for("a", false);
        let write = least(|| sink.write(&region, voxels.view(), &mut scratch).unwrap());
        let sharded = sink_for("s", true);
        let shard = least(|| sharded.write(&region, voxels.view(), &mut scratch).unwrap());
        // The same voxels within a larger array: rows are handed over one by one.
        let wide = Buffer::zeros(&[chunk[0], chunk[1] + 8, chunk[2] + 8], Dtype::U16);
        let mut wide = wide;
        let inner = Region::new([0, 4, 4], chunk);
        wide.view_mut().part_mut(&inner).copy_from(&voxels.view());
        let rows = least(|| {
            sink.write(&region, wide.view().part(&inner), &mut scratch).unwrap();
        });
        let source = open(&folder.path().join(format!("a{mib}.zarr"))).unwrap();
        let read = least(|| source.read(&region, out.view_mut(), &mut scratch).unwrap());
        assert_eq!(out.bytes(), voxels.bytes());
        let part = Region::new([0, 0, 0], [chunk[0] / 2, chunk[1], chunk[2]]);
        let mut half = Buffer::zeros(part.shape(), Dtype::U16);
        let partly = least(|| source.read(&part, half.view_mut(), &mut scratch).unwrap());
        let source = open(&folder.path().join(format!("s{mib}.zarr"))).unwrap();
        let read_shard = least(|| source.read(&region, out.view_mut(), &mut scratch).unwrap());
        assert_eq!(out.bytes(), voxels.bytes());
        println!(
            "{mib} MiB, ratio {:.2}; MiB/s of CPU: libzstd encodes {:.0}, write {:.0}, rows {:.0}, \
             shard {:.0}; libzstd decodes {:.0}, read {:.0}, shard {:.0}, half a chunk {:.0} (of \
             whole); overheads: read {} KiB, write {} KiB",
            voxels.bytes().len() as f64 / len as f64,
            mib / encode,
            mib / write,
            mib / rows,
            mib / shard,
            mib / decode,
            mib / read,
            mib / read_shard,
            mib / partly,
            open(&folder.path().join(format!("a{mib}.zarr"))).unwrap().read_overhead() >> 10,
            sink.write_overhead() >> 10,
        );
        black_box(&half);
    }
}

/// Alone in its process, because it counts threads.
#[test]
#[ignore = "run alone"]
fn no_pool_is_started() {
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    for entry in fs::read_dir(data()).unwrap().flatten() {
        if let Ok(source) = open(&entry.path()) {
            let info = source.info();
            let mut out = Buffer::zeros(&info.shape, info.dtype);
            source.read(&Region::whole(&info.shape), out.view_mut(), &mut Scratch::new()).unwrap();
        }
    }
    assert_eq!(threads(), before);
}
