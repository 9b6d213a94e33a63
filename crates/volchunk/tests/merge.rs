//! Split and merge: the identity, for every geometry; the merged shape against laying chunks out.
#![allow(clippy::unwrap_used)]

use proptest::{collection::vec, prelude::*, sample::select};
use volchunk::{
    Buffer, ChunkGrid, Dtype, ErrorKind, Halo, Region, View, ViewMut, merge_chunks,
    merge_chunks_into, merged_shape, split,
};

/// Grids over a region of a volume of one to five axes; halos may exceed chunk and volume.
fn grids() -> impl Strategy<Value = ChunkGrid> {
    (1usize..=5).prop_flat_map(|ndim| {
        let longest = [400u64, 40, 14, 7, 5][ndim - 1];
        let axis = (1..=longest, 0u64..1000, 0u64..1000, 1..=longest + 2, 0u64..9, 0u64..9);
        (vec(axis, ndim), any::<bool>()).prop_map(|(axes, whole)| {
            let shape: Vec<u64> = axes.iter().map(|a| a.0).collect();
            let part = Region::from_ranges(axes.iter().map(|&(n, a, b, ..)| {
                let (a, b) = (a % (n + 1), b % (n + 1));
                a.min(b)..a.max(b)
            }));
            let domain = if whole { Region::whole(&shape) } else { part };
            let chunk: Vec<u64> = axes.iter().map(|a| a.3).collect();
            let halo = Halo::new(axes.iter().map(|a| (a.4, a.5)));
            ChunkGrid::over(&shape, domain, &chunk).unwrap().with_halo(halo).unwrap()
        })
    })
}

fn noise(shape: &[u64], dtype: Dtype) -> Buffer {
    let mut volume = Buffer::zeros(shape, dtype);
    for (i, b) in volume.bytes_mut().iter_mut().enumerate() {
        *b = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0];
    }
    volume
}

/// The voxels of a view in C order, one by one.
fn bytes_of(view: &View<'_>) -> Vec<u8> {
    let item = view.dtype().size();
    let count = Region::whole(view.shape()).voxels();
    let mut bytes = Vec::new();
    for mut number in 0..count {
        let mut at = 0;
        for (&n, &stride) in view.shape().iter().zip(view.strides()).rev() {
            at += (number % n * stride) as usize;
            number /= n;
        }
        bytes.extend_from_slice(&view.data()[at..at + item]);
    }
    bytes
}

proptest! {
    #[test]
    fn split_then_merge_is_the_identity(
        grid in grids(),
        dtype in select(&Dtype::ALL[..]),
        threads in 0usize..=4,
    ) {
        let volume = noise(grid.volume(), dtype);
        let views: Vec<View> = split(&volume.view(), &grid).unwrap().map(|(_, v)| v).collect();
        let expected = bytes_of(&volume.view().part(grid.domain()));
        if views.is_empty() {
            prop_assert!(merge_chunks(&grid, &views, threads).is_err());
            let mut out = Buffer::zeros(grid.domain().shape(), dtype);
            prop_assert!(merge_chunks_into(&grid, &views, out.view_mut(), threads).is_ok());
        } else {
            let merged = merge_chunks(&grid, &views, threads).unwrap();
            prop_assert_eq!(merged.shape(), grid.domain().shape());
            prop_assert_eq!(merged.bytes(), &expected[..]);
        }
    }

    /// Each chunk in memory of its own, axes in another order there and between gaps; what lies
    /// outside of its core is wrong on purpose. The output has a layout of its own, too.
    #[test]
    fn merge_keeps_cores_alone_whatever_the_strides(
        grid in grids(),
        dtype in select(&Dtype::ALL[..]),
        threads in 1usize..=4,
        turn in 0usize..5,
        turn_out in 0usize..5,
        gap in 0u64..3,
    ) {
        let ndim = grid.ndim();
        let volume = noise(grid.volume(), dtype);
        let order = |turn: usize| Vec::from_iter((0..ndim).map(|a| (a + turn) % ndim));
        let back = |turn: usize| order(ndim - turn % ndim);
        let (to_chunk, from_chunk) = (order(turn), back(turn));
        let inner = |shape: &[u64]| Region::new(vec![gap; ndim], shape);
        let chunks: Vec<Buffer> = split(&volume.view(), &grid)
            .unwrap()
            .map(|(chunk, view)| {
                let turned = view.permuted(&to_chunk);
                let shape: Vec<u64> = turned.shape().iter().map(|n| n + 2 * gap).collect();
                let mut memory = Buffer::zeros(&shape, dtype);
                memory.bytes_mut().fill(0xa5);
                let core = chunk.trim();
                let turned_core = Region::from_ranges(to_chunk.iter().map(|&a| core.range(a)));
                let at = turned_core.translate(&vec![gap; ndim]);
                memory.view_mut().part_mut(&at).copy_from(&turned.part(&turned_core));
                memory
            })
            .collect();
        let views: Vec<View> = chunks
            .iter()
            .zip(grid.iter())
            .map(|(memory, chunk)| {
                let shape: Vec<u64> = to_chunk.iter().map(|&a| chunk.outer.shape()[a]).collect();
                memory.view().part(&inner(&shape)).permuted(&from_chunk)
            })
            .collect();
        let shape = grid.domain().shape();
        let turned: Vec<u64> = order(turn_out).iter().map(|&a| shape[a] + gap).collect();
        let mut memory = Buffer::zeros(&turned, dtype);
        memory.bytes_mut().fill(0x5a);
        let strides = memory.view().permuted(&back(turn_out)).strides().to_vec();
        let out = ViewMut::strided(shape, &strides, dtype, memory.bytes_mut());
        merge_chunks_into(&grid, &views, out, threads).unwrap();
        let all = memory.view().permuted(&back(turn_out));
        let expected = bytes_of(&volume.view().part(grid.domain()));
        prop_assert_eq!(bytes_of(&all.part(&Region::whole(shape))), expected);
        for (axis, &n) in shape.iter().enumerate() {
            let beyond = Region::whole(all.shape()).with_range(axis, n..all.shape()[axis]);
            prop_assert!(bytes_of(&all.part(&beyond)).iter().all(|&b| b == 0x5a), "axis {axis}");
        }
    }

    #[test]
    fn merged_shape_is_the_size_that_was_divided(
        axes in vec((1u64..60, 1u64..20, 0u64..30), 1..=3),
        channels in proptest::option::of(1u64..4),
    ) {
        let counts: Vec<u64> = axes.iter().map(|&(n, m, _)| n.div_ceil(m)).collect();
        let overlap: Vec<u64> = axes.iter().map(|a| a.2).collect();
        let sizes: Vec<u64> = axes.iter().map(|a| a.0).chain(channels).collect();
        // The splitter's rule, written out: [i·m, min(i·m + m + o, n)).
        let shapes = |overlap: &[u64]| -> Vec<Vec<u64>> {
            (0..counts.iter().product::<u64>())
                .map(|mut number| {
                    let mut shape: Vec<u64> = channels.into_iter().collect();
                    for (a, &(n, m, _)) in axes.iter().enumerate().rev() {
                        let start = number % counts[a] * m;
                        shape.insert(0, (start + m + overlap[a]).min(n) - start);
                        number /= counts[a];
                    }
                    shape
                })
                .collect()
        };
        let none = vec![0; axes.len()];
        prop_assert_eq!(&merged_shape(&counts, &shapes(&none), None).unwrap()[..], &sizes[..]);
        prop_assert_eq!(&merged_shape(&counts, &shapes(&none), Some(&none)).unwrap()[..], &sizes[..]);
        let found = merged_shape(&counts, &shapes(&overlap), Some(&overlap)).unwrap();
        prop_assert_eq!(&found[..], &sizes[..]);
    }

    #[test]
    fn rescaled_chunks_add_up(lengths in vec(vec(0u64..9, 1..5), 1..=3)) {
        let counts: Vec<u64> = lengths.iter().map(|l| l.len() as u64).collect();
        let mut shapes = vec![vec![]];
        for axis in &lengths {
            shapes = shapes
                .iter()
                .flat_map(|s: &Vec<u64>| axis.iter().map(move |&n| [&s[..], &[n]].concat()))
                .collect();
        }
        let sums: Vec<u64> = lengths.iter().map(|l| l.iter().sum()).collect();
        prop_assert_eq!(&merged_shape(&counts, &shapes, None).unwrap()[..], &sums[..]);
    }
}

/// Large enough for several stretches of output, along axes that no grid line meets.
#[test]
fn many_stretches_merge_alike_for_any_number_of_threads() {
    for (shape, chunk) in [([3, 700, 901], [2, 300, 77]), ([1, 1, 1_900_000], [1, 1, 1_000_003])] {
        let halo = Halo::new([(0, 1), (9, 20), (5, 0)]);
        let grid = ChunkGrid::new(&shape, &chunk).unwrap().with_halo(halo).unwrap();
        let volume = noise(&shape, Dtype::U16);
        let views: Vec<View> = split(&volume.view(), &grid).unwrap().map(|(_, v)| v).collect();
        for threads in [1, 2, 3] {
            let merged = merge_chunks(&grid, &views, threads).unwrap();
            assert!(merged.bytes() == volume.bytes(), "{shape:?} on {threads} threads");
        }
    }
}

#[test]
fn one_wrong_voxel_is_seen() {
    let grid = ChunkGrid::new(&[9, 9], &[4, 4]).unwrap();
    let volume = noise(&[9, 9], Dtype::U8);
    let mut other = volume.clone();
    other.bytes_mut()[40] ^= 1;
    let views: Vec<View> = split(&other.view(), &grid).unwrap().map(|(_, v)| v).collect();
    let merged = merge_chunks(&grid, &views, 2).unwrap();
    let differ = merged.bytes().iter().zip(volume.bytes()).filter(|(a, b)| a != b).count();
    assert_eq!(differ, 1);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let grid = ChunkGrid::new(&[9], &[4]).unwrap().with_halo(Halo::symmetric([1])).unwrap();
    let of = |shapes: &[u64]| -> Vec<Buffer> {
        shapes.iter().map(|&n| Buffer::zeros(&[n], Dtype::U16)).collect()
    };
    let refused = |chunks: &[Buffer], words: &[&str]| {
        let views: Vec<View> = chunks.iter().map(Buffer::view).collect();
        let error = merge_chunks(&grid, &views, 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        for word in words {
            assert!(error.to_string().contains(word), "{error}");
        }
    };
    refused(&[], &["no chunks", "3"]);
    refused(&of(&[5, 6]), &["2 chunks", "3"]);
    refused(&of(&[5, 5, 2]), &["chunk [1]", "[5]", "[6]"]);
    let mut mixed = of(&[5, 6, 2]);
    mixed[2] = Buffer::zeros(&[2], Dtype::F32);
    refused(&mixed, &["chunk [2]", "float32", "uint16"]);

    let good = of(&[5, 6, 2]);
    let views: Vec<View> = good.iter().map(Buffer::view).collect();
    let mut short = Buffer::zeros(&[8], Dtype::U16);
    let error = merge_chunks_into(&grid, &views, short.view_mut(), 2).unwrap_err();
    assert!(error.to_string().contains("[8]"), "{error}");
    let mut wide = Buffer::zeros(&[9], Dtype::F64);
    let error = merge_chunks_into(&grid, &views, wide.view_mut(), 2).unwrap_err();
    assert!(error.to_string().contains("float64"), "{error}");
    assert!(split(&short.view(), &grid).is_err());
}

#[test]
fn shapes_that_do_not_form_a_box_are_refused_by_index() {
    let error = |counts: &[u64], shapes: &[&[u64]], overlap: Option<&[u64]>| {
        merged_shape(counts, shapes, overlap).unwrap_err().to_string()
    };
    let ragged: [&[u64]; 4] = [&[2, 3], &[2, 4], &[5, 3], &[5, 5]];
    assert!(error(&[2, 2], &ragged, None).contains("chunk [1, 1] has shape [5, 5]"));
    assert!(error(&[2], &[&[2, 3], &[2, 4]], None).contains("chunk [1]"));
    assert!(error(&[2], &[&[2, 3], &[2]], None).contains("chunk [1]"));
    assert!(error(&[2], &[&[2]], None).contains("1 chunk shapes"));
    assert!(error(&[1], &[&[2]], Some(&[1, 1])).contains("overlap [1, 1]"));
    assert!(error(&[3], &[&[6], &[2], &[6]], Some(&[2])).contains("[6, 2, 6] on axis 0"));
    assert!(error(&[2], &[&[u64::MAX], &[1]], None).contains("64 bits"));
    assert_eq!(merged_shape::<&[u64]>(&[0, 2], &[], None).unwrap()[..], [0, 0]);
}
