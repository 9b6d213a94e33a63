//! Regions and grids against what counting voxels says.
#![allow(clippy::unwrap_used)]

use proptest::{collection::vec, prelude::*};
use volchunk::{ChunkGrid, Halo, Region};

/// Grids over a region of a volume; halos may exceed chunk and volume.
fn grids() -> impl Strategy<Value = ChunkGrid> {
    let axis = (1u64..=7, 0u64..9, 0u64..9, 1u64..=8, 0u64..12, 0u64..12);
    vec(axis, 0..=4).prop_map(|axes| {
        let shape: Vec<u64> = axes.iter().map(|a| a.0).collect();
        let domain = Region::from_ranges(axes.iter().map(|&(n, a, b, ..)| {
            let (a, b) = (a % (n + 1), b % (n + 1));
            a.min(b)..a.max(b)
        }));
        let chunk: Vec<u64> = axes.iter().map(|a| a.3).collect();
        let halo = Halo::new(axes.iter().map(|a| (a.4, a.5)));
        ChunkGrid::over(&shape, domain, &chunk).unwrap().with_halo(halo).unwrap()
    })
}

/// Every voxel of a region, C order.
fn voxels(region: &Region) -> Vec<Vec<u64>> {
    region.ranges().fold(vec![vec![]], |all, range| {
        all.iter()
            .flat_map(|v| range.clone().map(move |i| v.iter().copied().chain([i]).collect()))
            .collect()
    })
}

fn regions(ndim: usize) -> impl Strategy<Value = Region> {
    vec((0u64..6, 0u64..5), ndim)
        .prop_map(|axes| Region::from_ranges(axes.iter().map(|&(start, n)| start..start + n)))
}

proptest! {
    #[test]
    fn cores_partition_the_domain(grid in grids()) {
        let mut owned: Vec<_> = grid.iter().flat_map(|c| voxels(&c.core)).collect();
        owned.sort_unstable();
        prop_assert_eq!(owned, voxels(grid.domain()));
    }

    #[test]
    fn outers_are_the_voxels_within_the_halo(grid in grids()) {
        let volume = voxels(&Region::whole(grid.volume()));
        for chunk in grid.iter().take(20) {
            prop_assert!(chunk.outer.contains(&chunk.core));
            prop_assert_eq!(chunk.trim().translate(chunk.outer.start()), chunk.core.clone());
            let near = |v: &&Vec<u64>| (0..grid.ndim()).all(|a| {
                let (lo, hi) = grid.halo().side(a);
                v[a] + lo >= chunk.core.start()[a] && v[a] < chunk.core.stop(a) + hi
            });
            let expected: Vec<_> = volume.iter().filter(near).cloned().collect();
            prop_assert_eq!(voxels(&chunk.outer), expected);
        }
    }

    #[test]
    fn numbers_and_indices_are_inverse_and_in_c_order(grid in grids()) {
        prop_assert_eq!(grid.len(), grid.counts().iter().product::<u64>());
        let places = voxels(&Region::whole(grid.counts()));
        for (number, place) in (0..grid.len()).zip(places) {
            prop_assert_eq!(&grid.index_of(number)[..], &place[..]);
            prop_assert_eq!(grid.number_of(&place), number);
            prop_assert_eq!(&grid.chunk(number).index[..], &place[..]);
        }
    }

    #[test]
    fn regions_are_sets_of_voxels(
        (a, b, by) in (0usize..=3).prop_flat_map(|n| (regions(n), regions(n), vec(0u64..4, n))),
    ) {
        let (in_a, in_b) = (voxels(&a), voxels(&b));
        prop_assert_eq!(a.voxels(), in_a.len() as u64);
        prop_assert_eq!(a.is_empty(), in_a.is_empty());
        prop_assert_eq!(a.contains(&b), in_b.iter().all(|v| in_a.contains(v)));
        let common: Vec<_> = in_a.iter().filter(|v| in_b.contains(v)).cloned().collect();
        prop_assert_eq!(voxels(&a.intersect(&b)), common);
        let moved = a.translate(&by);
        prop_assert_eq!(moved.voxels(), a.voxels());
        prop_assert_eq!(moved.relative_to(&by), a.clone());
        for axis in 0..a.ndim() {
            prop_assert_eq!(a.with_range(axis, b.range(axis)).range(axis), b.range(axis));
            prop_assert_eq!(a.with_range(axis, a.range(axis)), a.clone());
        }
    }
}
