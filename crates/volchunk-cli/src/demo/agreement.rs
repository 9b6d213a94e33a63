//! Detections held against the cells that are known to be there.

use std::{collections::HashMap, fmt};

use super::cells::{Known, VOXEL};
use crate::report::grouped;

/// How many of the known cells were found, and how many of those found are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Agreement {
    known: usize,
    found: usize,
    matched: usize,
    /// µm, the mean over those matched.
    offset: f64,
}

/// Holds detections, in voxels z y x, against known cells. A pair matches where each is the other's
/// nearest and they lie no further apart than the cell's σ; of equally near ones the first counts.
pub(super) fn agreement(known: &[Known], found: &[[f64; 3]]) -> Agreement {
    let centres: Vec<[f64; 3]> = known.iter().map(|k| k.centre).collect();
    let found: Vec<[f64; 3]> = found.iter().map(|at| [0, 1, 2].map(|a| at[a] * VOXEL[a])).collect();
    let reach = known.iter().fold(1e-9, |most: f64, k| most.max(k.sigma));
    let to_found = nearest(&centres, &found, reach);
    let to_known = nearest(&found, &centres, reach);
    let pairs = to_found.iter().enumerate().filter_map(|(k, near)| {
        let (f, distance) = (*near)?;
        let mutual = to_known[f].is_some_and(|(back, _)| back == k);
        (mutual && distance <= known[k].sigma).then_some(distance)
    });
    let (matched, sum) = pairs.fold((0, 0.0), |(n, sum), distance| (n + 1, sum + distance));
    let offset = sum / f64::from(matched).max(1.0);
    Agreement { known: known.len(), found: found.len(), matched: matched as usize, offset }
}

/// For each of `from` the nearest of `to` and how far that is, if none is further than `reach`.
fn nearest(from: &[[f64; 3]], to: &[[f64; 3]], reach: f64) -> Vec<Option<(usize, f64)>> {
    let cube = |at: &[f64; 3]| at.map(|v| (v / reach).floor() as i64);
    let mut cubes: HashMap<[i64; 3], Vec<usize>> = HashMap::new();
    for (k, at) in to.iter().enumerate() {
        cubes.entry(cube(at)).or_default().push(k);
    }
    let distance = |a: &[f64; 3], b: &[f64; 3]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    let seek = |at: &[f64; 3]| {
        let [z, y, x] = cube(at);
        let around = (0..27).map(|k| [z + k / 9 - 1, y + k / 3 % 3 - 1, x + k % 3 - 1]);
        let near = around.filter_map(|c| cubes.get(&c)).flatten();
        near.map(|&k| (k, distance(at, &to[k])))
            .filter(|(_, d)| *d <= reach)
            .min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)))
    };
    from.iter().map(seek).collect()
}

impl Agreement {
    /// Share of the known cells that were found; 1 where there are none.
    pub(super) fn recall(&self) -> f64 {
        if self.known == 0 { 1.0 } else { self.matched as f64 / self.known as f64 }
    }

    /// Share of those found that are known; 1 where nothing was found.
    pub(super) fn precision(&self) -> f64 {
        if self.found == 0 { 1.0 } else { self.matched as f64 / self.found as f64 }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Of {} known cells {} were found (recall {:.4}); of {} detections {} are none of them \
             (precision {:.4}). They lie {:.2} µm from where the cells were put, on average.",
            grouped(self.known as u64),
            grouped(self.matched as u64),
            self.recall(),
            grouped(self.found as u64),
            grouped((self.found - self.matched) as u64),
            self.precision(),
            self.offset
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(at: [f64; 3], sigma: f64) -> Known {
        Known { centre: [0, 1, 2].map(|a| at[a] * VOXEL[a]), sigma }
    }

    #[test]
    fn each_cell_counts_once() {
        let cells = [known([5.0, 5.0, 5.0], 3.0), known([9.0, 30.0, 5.0], 3.0)];
        let all = agreement(&cells, &[[5.0, 5.0, 6.0], [9.0, 30.0, 5.0]]);
        assert_eq!((all.matched, all.recall(), all.precision(), all.offset), (2, 1.0, 1.0, 1.0));
        let twice = agreement(&cells, &[[5.0, 5.0, 6.0], [5.0, 5.0, 5.0], [40.0, 1.0, 1.0]]);
        assert_eq!((twice.matched, twice.offset), (1, 0.0));
        assert_eq!((twice.recall(), twice.precision()), (0.5, 1.0 / 3.0));
        let far = agreement(&cells, &[[5.0, 5.0, 7.0], [9.0, 30.0, 6.4]]);
        assert_eq!(far.matched, 1, "4 µm are more than σ");
        assert_eq!(agreement(&[], &[]).recall(), 1.0);
        assert!(all.to_string().starts_with("Of 2 known cells 2 were found (recall 1.0000)"));
    }

    proptest! {
        #[test]
        fn the_nearest_is_that_of_all(
            from in prop::collection::vec(prop::array::uniform3(0.0..9.0f64), 0..30),
            to in prop::collection::vec(prop::array::uniform3(0.0..9.0f64), 0..30),
            reach in 0.1..5.0f64,
        ) {
            let found = nearest(&from, &to, reach);
            for (a, near) in from.iter().zip(found) {
                let all = to.iter().map(|b| {
                    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
                });
                let least = all.fold(f64::INFINITY, f64::min);
                prop_assert_eq!(near.map(|(_, d)| d), (least <= reach).then_some(least));
            }
        }
    }
}
