//! How cells spread over the chunks of an axis: a lost chunk, or cells lost or doubled at the chunks'
//! borders, would show.

use volchunk::ChunkGrid;

use super::histogram::Bar;

/// Voxels on both sides of a border that count as at it, and those that it is compared with.
const AT: f64 = 2.0;
const BESIDE: f64 = 8.0;

/// Cells along one axis of the volume.
pub(crate) struct Spread {
    pub(crate) name: String,
    start: u64,
    chunk: u64,
    voxels: u64,
    per_chunk: Vec<u64>,
    /// By distance from the nearest border between two chunks, from half a chunk before it on.
    by_distance: Vec<u64>,
}

/// Cells at the borders, and as many as the voxels beside them would let expect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AtBorders {
    pub(crate) found: u64,
    pub(crate) expected: f64,
    /// The difference in standard deviations of chance, both counts being Poisson's.
    pub(crate) score: f64,
}

impl Spread {
    pub(crate) fn new(grid: &ChunkGrid, axis: usize, name: &str) -> Self {
        let domain = grid.domain();
        let voxels = domain.shape()[axis];
        let chunk = grid.chunk_shape()[axis].min(voxels).max(1);
        Self {
            name: name.to_owned(),
            start: domain.start()[axis],
            chunk,
            voxels,
            per_chunk: vec![0; grid.counts()[axis] as usize],
            by_distance: vec![0; 2 * chunk.div_ceil(2) as usize],
        }
    }

    pub(crate) fn chunks(&self) -> usize {
        self.per_chunk.len()
    }

    /// Voxels of a chunk.
    pub(crate) fn chunk(&self) -> u64 {
        self.chunk
    }

    /// A cell at voxel coordinate `at`; outside of the region: nothing.
    pub(crate) fn add(&mut self, at: f64) {
        // From the border before the first voxel.
        let at = at - self.start as f64 + 0.5;
        if !(at >= 0.0 && at < self.voxels as f64) {
            return;
        }
        self.per_chunk[(at / self.chunk as f64) as usize] += 1;
        if let Some(bin) = self.bin(at) {
            self.by_distance[bin] += 1;
        }
    }

    /// Which distance `at` has from the nearest border; None where none is within half a chunk.
    fn bin(&self, at: f64) -> Option<usize> {
        let last = self.per_chunk.len().checked_sub(2)? + 1;
        let border = (at / self.chunk as f64).round().clamp(1.0, last as f64);
        let half = (self.by_distance.len() / 2) as f64;
        let bin = (at - border * self.chunk as f64).floor() + half;
        (bin >= 0.0 && bin < 2.0 * half).then_some(bin as usize)
    }

    /// Cells for each chunk, or for several where there are more than `wanted`.
    pub(crate) fn bars(&self, wanted: usize) -> Vec<Bar> {
        let per_bar = self.per_chunk.len().div_ceil(wanted).max(1);
        let bars = self.per_chunk.chunks(per_bar).enumerate();
        bars.map(|(k, counts)| {
            let from = k * per_bar;
            ((from as f64), (from + counts.len()) as f64, counts.iter().sum::<u64>() as f64)
        })
        .collect()
    }

    /// How many planes of voxels have each distance.
    fn planes(&self) -> Vec<u64> {
        let mut planes = vec![0; self.by_distance.len()];
        for voxel in 0..self.voxels {
            if let Some(bin) = self.bin(voxel as f64 + 0.5) {
                planes[bin] += 1;
            }
        }
        planes
    }

    /// Cells for each plane by distance from a border, over their mean; at most about `wanted` bars.
    /// With them two deviations of chance. None where there is no border, or no cell.
    pub(crate) fn around_borders(&self, wanted: usize) -> Option<(Vec<Bar>, f64)> {
        let planes = self.planes();
        let cells: u64 = self.by_distance.iter().sum();
        let all: u64 = planes.iter().sum();
        if self.per_chunk.len() < 2 || cells == 0 || all == 0 {
            return None;
        }
        let mean = cells as f64 / all as f64;
        let half = self.by_distance.len() / 2;
        // From the border to both sides, so that no bar straddles it.
        let per_bar = half.div_ceil((wanted / 2).max(1));
        let sides = half.div_ceil(per_bar);
        let mut bars = Vec::new();
        for k in -(sides as i64)..sides as i64 {
            let edge =
                |k: i64| (half as i64 + k * per_bar as i64).clamp(0, 2 * half as i64) as usize;
            let (from, to) = (edge(k), edge(k + 1));
            let exposed: u64 = planes[from..to].iter().sum();
            let count: u64 = self.by_distance[from..to].iter().sum();
            let offset = |bin: usize| bin as f64 - half as f64;
            let height = if exposed > 0 { count as f64 / (exposed as f64 * mean) } else { 0.0 };
            bars.push((offset(from), offset(to), height));
        }
        let per = cells as f64 / bars.len() as f64;
        Some((bars, 2.0 / per.sqrt()))
    }

    /// Cells within 2 voxels of a border, beside those 2 to 8 voxels away. None where chunks are too
    /// short to tell, or there is no border.
    pub(crate) fn at_borders(&self) -> Option<AtBorders> {
        if self.per_chunk.len() < 2 {
            return None;
        }
        let half = (self.by_distance.len() / 2) as f64;
        let planes = self.planes();
        let (mut at, mut beside) = ((0u64, 0u64), (0u64, 0u64));
        for (bin, (&count, &exposed)) in self.by_distance.iter().zip(&planes).enumerate() {
            let distance = (bin as f64 + 0.5 - half).abs();
            let sum = match distance {
                d if d < AT => &mut at,
                d if d < BESIDE => &mut beside,
                _ => continue,
            };
            *sum = (sum.0 + count, sum.1 + exposed);
        }
        if at.1 == 0 || beside.1 == 0 {
            return None;
        }
        let share = at.1 as f64 / beside.1 as f64;
        let expected = beside.0 as f64 * share;
        // Var(found − share · beside), both Poisson with the common density.
        let density = (at.0 + beside.0) as f64 / (at.1 + beside.1) as f64;
        let deviation = (density * at.1 as f64 * (1.0 + share)).sqrt();
        let score = if deviation > 0.0 { (at.0 as f64 - expected) / deviation } else { 0.0 };
        Some(AtBorders { found: at.0, expected, score })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(voxels: u64, chunk: u64) -> Spread {
        Spread::new(&ChunkGrid::new(&[voxels], &[chunk]).unwrap(), 0, "x")
    }

    #[test]
    fn an_even_spread_is_even() {
        let mut s = spread(100, 16);
        (0..1000).for_each(|k| s.add(f64::from(k % 100)));
        assert_eq!(s.bars(50).last(), Some(&(6.0, 7.0, 40.0)), "the last chunk has 4 voxels");
        assert_eq!(s.bars(50)[0], (0.0, 1.0, 160.0));
        let (bars, _) = s.around_borders(16).unwrap();
        assert_eq!(bars.len(), 16);
        assert!(bars.iter().all(|b| (b.2 - 1.0).abs() < 1e-9), "{bars:?}");
        let borders = s.at_borders().unwrap();
        assert_eq!(borders.found, 240);
        assert!((borders.expected - 240.0).abs() < 1e-9 && borders.score.abs() < 1e-9);
    }

    #[test]
    fn doubled_and_lost_cells_show() {
        let (mut doubled, mut lost) = (spread(512, 32), spread(512, 32));
        for k in 0..5120u32 {
            let at = f64::from(k % 512);
            let near = (k % 32 < 2 || k % 32 > 29) && (2..510).contains(&(k % 512));
            doubled.add(at);
            if near {
                doubled.add(at);
            } else {
                lost.add(at);
            }
        }
        assert!(doubled.at_borders().unwrap().score > 5.0);
        assert!(lost.at_borders().unwrap().score < -5.0);
    }

    #[test]
    fn without_borders_nothing_is_told() {
        let mut s = spread(10, 32);
        s.add(3.0);
        s.add(10.0);
        s.add(f64::NAN);
        assert_eq!(s.bars(9), [(0.0, 1.0, 1.0)]);
        assert!(s.around_borders(9).is_none() && s.at_borders().is_none());
        let mut ones = spread(5, 1);
        (0..5).for_each(|k| ones.add(f64::from(k)));
        assert_eq!(ones.bars(2).len(), 2);
        assert!(ones.around_borders(9).is_some());
    }
}
