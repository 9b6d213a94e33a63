//! The n-d copy against an oracle that indexes voxel by voxel.
#![allow(clippy::unwrap_used)]

use proptest::{collection::vec, prelude::*, sample::select};
use volchunk::{Buffer, Dtype, Region, View, ViewMut};

/// Every index of `shape`, C order.
fn indices(shape: &[u64]) -> Vec<Vec<u64>> {
    shape.iter().fold(vec![vec![]], |all, &n| {
        all.iter()
            .flat_map(|i| (0..n).map(move |k| i.iter().copied().chain([k]).collect()))
            .collect()
    })
}

/// Strides in bytes of disjoint voxels, axes laid out in `order`, slowest first, with `gaps` voxels
/// in front of each axis; and the bytes that suffice.
fn layout(shape: &[u64], order: &[usize], gaps: &[u64], item: u64) -> (Vec<u64>, usize) {
    let mut strides = vec![0; shape.len()];
    let mut step = item;
    for &a in order.iter().rev() {
        step += gaps[a] * item;
        strides[a] = step;
        step *= shape[a].max(1);
    }
    (strides, (step + item) as usize)
}

/// A shape, and for source and output an order of the axes and gaps.
type Layouts = (Vec<u64>, [(Vec<usize>, Vec<u64>); 2]);

fn layouts() -> impl Strategy<Value = Layouts> {
    (0usize..=5).prop_flat_map(|ndim| {
        let lengths = vec(prop_oneof![8 => 1u64..=5, 1 => Just(0u64)], ndim);
        let side = || {
            let gaps = vec(prop_oneof![3 => Just(0u64), 1 => 1u64..3], ndim);
            (Just(Vec::from_iter(0..ndim)).prop_shuffle(), gaps)
        };
        (lengths, [side(), side()])
    })
}

proptest! {
    #[test]
    fn copies_each_voxel_and_nothing_else(
        (shape, [(order, gaps), (order_to, gaps_to)]) in layouts(),
        dtype in select(&Dtype::ALL[..]),
        broadcast in any::<bool>(),
    ) {
        let item = dtype.size();
        let (mut strides, len) = layout(&shape, &order, &gaps, item as u64);
        if let (true, Some(s)) = (broadcast, strides.first_mut()) {
            *s = 0;
        }
        let (strides_to, len_to) = layout(&shape, &order_to, &gaps_to, item as u64);
        let from: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251 + 1) as u8).collect();
        let mut to = vec![0xee; len_to];
        let mut expected = to.clone();
        for index in indices(&shape) {
            let at = |strides: &[u64]| -> usize {
                index.iter().zip(strides).map(|(i, s)| (i * s) as usize).sum()
            };
            let (t, s) = (at(&strides_to), at(&strides));
            expected[t..t + item].copy_from_slice(&from[s..s + item]);
        }
        ViewMut::strided(&shape, &strides_to, dtype, &mut to)
            .copy_from(&View::strided(&shape, &strides, dtype, &from));
        prop_assert_eq!(to, expected);
    }

    #[test]
    fn permuted_parts_copy_as_indexed(
        (axes, order) in (1usize..=4).prop_flat_map(|n| {
            (vec((1u64..=6, 0u64..7, 0u64..7), n), Just(Vec::from_iter(0..n)).prop_shuffle())
        }),
    ) {
        let shape: Vec<u64> = axes.iter().map(|a| a.0).collect();
        let values: Vec<u32> = (0..shape.iter().product::<u64>() as u32).collect();
        let volume = Buffer::from_slice(&shape, &values);
        let region = Region::from_ranges(axes.iter().map(|&(n, a, b)| {
            let (a, b) = (a % (n + 1), b % (n + 1));
            a.min(b)..a.max(b)
        }));
        let view = volume.view().part(&region).permuted(&order);
        let mut copy = Buffer::zeros(view.shape(), Dtype::U32);
        copy.view_mut().copy_from(&view);
        let expected: Vec<u32> = indices(view.shape())
            .iter()
            .map(|index| {
                let mut at = region.start().to_vec();
                for (k, &axis) in order.iter().enumerate() {
                    at[axis] += index[k];
                }
                values[at.iter().zip(&shape).fold(0, |f, (&i, &n)| f * n + i) as usize]
            })
            .collect();
        prop_assert_eq!(copy.as_slice::<u32>(), &expected[..]);
    }
}

#[test]
fn a_volume_without_axes_is_one_voxel() {
    let from = Buffer::from_slice(&[], &[7u16]);
    let mut to = Buffer::zeros(&[], Dtype::U16);
    to.view_mut().copy_from(&from.view());
    assert_eq!(to.as_slice::<u16>(), [7]);
}
