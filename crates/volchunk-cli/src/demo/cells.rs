//! A synthetic volume of cells, computed where it is read.

use volchunk::{Axis, Dtype, Region, Result, Scratch, Source, ViewMut, VolumeInfo};

/// µm between voxel centres, z y x.
pub(super) const VOXEL: [f64; 3] = [3.0, 2.0, 2.0];
/// Voxels between the places that may hold a cell, z y x.
const LATTICE: [u64; 3] = [8, 13, 13];

/// A slice of tissue with a dense rind and sparser cells within, under noise; uint16, z y x.
///
/// A voxel depends on its coordinates alone, so any region can be computed by itself.
pub(crate) struct Cells {
    info: VolumeInfo,
}

struct Cell {
    /// µm, z y x.
    centre: [f64; 3],
    /// µm.
    radius: f64,
    brightness: f64,
}

/// A cell as it was put there, to hold detections against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    /// µm from the centre of voxel 0, z y x.
    pub(super) centre: [f64; 3],
    /// µm: the standard deviation, along any axis, of its light. That of (1 − r²/R²)² is R / 3.
    pub(super) sigma: f64,
}

impl Cells {
    pub(crate) fn new(shape: [u64; 3]) -> Self {
        let mut info = VolumeInfo::new(&shape, Dtype::U16);
        for (axis, size) in info.axes.iter_mut().zip(VOXEL) {
            let named = Axis::new(axis.name.clone());
            *axis = Axis { scale: Some(size), unit: Some("micrometer".into()), ..named };
        }
        Self { info }
    }

    /// How deep a voxel lies in the tissue: 1 at its middle, 0 at its surface, negative outside.
    fn depth(&self, at: [f64; 3]) -> f64 {
        let mut square = 0.0;
        for ((&n, x), (middle, reach)) in
            self.info.shape.iter().zip(at).zip([(0.4, 1.3), (0.5, 0.47), (0.52, 0.46)])
        {
            square += ((x / n as f64 - middle) / reach).powi(2);
        }
        1.0 - square
    }

    /// The cell at a place of the lattice, if there is one.
    fn cell(&self, place: [u64; 3]) -> Option<Cell> {
        let mut random = Random::at(place, 1);
        // Two cells are never so close that they would be one.
        let jitter = [(); 3].map(|()| 0.25 + 0.5 * random.unit());
        let at = [0, 1, 2].map(|a| (place[a] as f64 + jitter[a]) * LATTICE[a] as f64);
        let depth = self.depth(at);
        let density = match depth {
            d if d < 0.02 => 0.0,
            d if d < 0.25 => 0.9,
            d if d < 0.33 => 0.15,
            _ => 0.45,
        };
        let brightness = 500.0 + 2200.0 * random.unit() * random.unit();
        let radius = 6.5 + 4.0 * random.unit();
        let centre = [0, 1, 2].map(|a| at[a] * VOXEL[a]);
        (random.unit() < density).then_some(Cell { centre, radius, brightness })
    }

    /// The cells whose centres lie in the volume.
    pub(super) fn known(&self) -> Vec<Known> {
        let shape = &self.info.shape;
        let places = Region::from_ranges((0..3).map(|a| 0..shape[a] / LATTICE[a] + 1));
        let mut known = Vec::new();
        for z in places.range(0) {
            for y in places.range(1) {
                for x in places.range(2) {
                    let Some(cell) = self.cell([z, y, x]) else { continue };
                    let at = [0, 1, 2].map(|a| cell.centre[a] / VOXEL[a]);
                    if (0..3).all(|a| at[a] < shape[a] as f64 - 0.5) {
                        known.push(Known { centre: cell.centre, sigma: cell.radius / 3.0 });
                    }
                }
            }
        }
        known
    }

    /// Adds the part of `cell` that lies in `region` to its voxels.
    fn add(cell: &Cell, region: &Region, voxels: &mut [f32]) {
        let reach = [0, 1, 2].map(|a| {
            let low = ((cell.centre[a] - cell.radius) / VOXEL[a]).ceil().max(0.0) as u64;
            let high = ((cell.centre[a] + cell.radius) / VOXEL[a]).floor().max(0.0) as u64 + 1;
            low.max(region.start()[a])..high.min(region.stop(a))
        });
        let square = |a: usize, i: u64| (i as f64 * VOXEL[a] - cell.centre[a]).powi(2);
        for z in reach[0].clone() {
            for y in reach[1].clone() {
                for x in reach[2].clone() {
                    let distance = square(0, z) + square(1, y) + square(2, x);
                    let inside = 1.0 - distance / cell.radius.powi(2);
                    if inside > 0.0 {
                        let i = index(region, [z, y, x]);
                        voxels[i] += (cell.brightness * inside * inside) as f32;
                    }
                }
            }
        }
    }
}

fn index(region: &Region, at: [u64; 3]) -> usize {
    let [z, y, x] = [0, 1, 2].map(|a| at[a] - region.start()[a]);
    ((z * region.shape()[1] + y) * region.shape()[2] + x) as usize
}

impl Source for Cells {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: &Region, mut out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        let mut light = scratch.take(region.shape(), Dtype::F32);
        let voxels = light.as_slice_mut::<f32>();
        let all = region.ranges().collect::<Vec<_>>();
        let mut rows = 0;
        for z in all[0].clone() {
            for y in all[1].clone() {
                for x in all[2].clone() {
                    let depth = self.depth([z, y, x].map(|i| i as f64));
                    voxels[rows] = if depth > 0.0 { 260.0 } else { 110.0 };
                    rows += 1;
                }
            }
        }
        // A cell reaches at most one place of the lattice far.
        let places = [0, 1, 2].map(|a| {
            (region.start()[a] / LATTICE[a]).saturating_sub(1)..region.stop(a) / LATTICE[a] + 2
        });
        for z in places[0].clone() {
            for y in places[1].clone() {
                for x in places[2].clone() {
                    if let Some(cell) = self.cell([z, y, x]) {
                        Self::add(&cell, region, voxels);
                    }
                }
            }
        }
        let mut counts = scratch.take(region.shape(), Dtype::U16);
        let mut at = 0;
        let values = counts.as_slice_mut::<u16>();
        for z in all[0].clone() {
            for y in all[1].clone() {
                for x in all[2].clone() {
                    // Noise as light has it: its spread grows as the root of the signal.
                    let noise =
                        Random::at([z, y, x], 2).bell() * f64::from(voxels[at]).sqrt() * 3.0;
                    values[at] = (f64::from(voxels[at]) + noise).round().clamp(0.0, 65535.0) as u16;
                    at += 1;
                }
            }
        }
        out.copy_from(&counts.view());
        scratch.give(light);
        scratch.give(counts);
        Ok(())
    }

    fn read_overhead(&self) -> u64 {
        // Light and counts of a chunk as the demo reads it.
        6 * 16 * 128 * 128
    }
}

/// Random numbers that depend on a place alone: the SplitMix64 generator (Steele, Lea and Flood,
/// 2014), seeded by the coordinates.
struct Random(u64);

impl Random {
    fn at(place: [u64; 3], stream: u64) -> Self {
        Self(place.iter().fold(stream, |seed, &i| Self(seed ^ i).next()))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In 0..1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Near a normal distribution of mean 0 and deviation 1: four uniform numbers summed.
    fn bell(&mut self) -> f64 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|k| bits >> (16 * k) & 0xffff).sum();
        (sum as f64 / 65536.0 - 2.0) * 1.732
    }
}

#[cfg(test)]
mod tests {
    use volchunk::Buffer;

    use super::*;

    #[test]
    fn known_cells_are_where_the_light_is() {
        let cells = Cells::new([24, 60, 50]);
        let known = cells.known();
        assert!(known.len() > 10, "{}", known.len());
        let whole = Region::whole([24, 60, 50]);
        let mut out = Buffer::zeros(whole.shape(), Dtype::U16);
        cells.read(&whole, out.view_mut(), &mut Scratch::new()).unwrap();
        for cell in known {
            let at = [0, 1, 2].map(|a| (cell.centre[a] / VOXEL[a]).round() as u64);
            let value = out.as_slice::<u16>()[index(&whole, at)];
            assert!(value > 400, "{value} at {at:?}");
        }
    }

    #[test]
    fn a_region_is_a_part_of_the_whole() {
        let cells = Cells::new([12, 60, 50]);
        let read = |region: &Region| {
            let mut out = Buffer::zeros(region.shape(), Dtype::U16);
            cells.read(region, out.view_mut(), &mut Scratch::new()).unwrap();
            out
        };
        let whole = read(&Region::whole([12, 60, 50]));
        let part = Region::new([5, 17, 22], [7, 20, 28]);
        let mut expected = Buffer::zeros(part.shape(), Dtype::U16);
        expected.view_mut().copy_from(&whole.view().part(&part));
        assert_eq!(read(&part).bytes(), expected.bytes());
        assert!(whole.as_slice::<u16>().iter().any(|&v| v > 800), "there are cells");
    }
}
