//! The mean of the voxels within an ellipsoid.

use volchunk::{Block, Element};

use super::Ellipsoids;

/// The voxels so far.
#[derive(Default)]
struct Sum {
    integers: i128,
    floats: f64,
    count: u64,
}

impl Sum {
    fn add<T: Element>(&mut self, voxel: T) {
        match voxel.to_i128() {
            Some(integer) => self.integers += integer,
            None => self.floats += voxel.to_f64(),
        }
        self.count += 1;
    }
}

/// A position of the block along an axis.
struct Place {
    /// The square of its distance from the centre, in semi-axes.
    square: f64,
    /// Where it lies in the block, in bytes.
    offset: usize,
    /// Whether the centre lies in it.
    central: bool,
}

/// The mean of the ellipsoid `number`, whose centre lies in the voxel `place`, in raster order.
pub(super) fn mean<T: Element>(
    block: &Block<'_>,
    ellipsoids: &Ellipsoids,
    number: u32,
    place: &[u64],
) -> f64 {
    let shape = &ellipsoids.volume().shape;
    let mut lines: Vec<Vec<Place>> = Vec::with_capacity(place.len());
    for (a, extent) in ellipsoids.extent(number).enumerate() {
        let (map, stride) = (&block.axes[a], block.view.strides()[a] as usize);
        let (first, last) = match extent {
            None => (place[a], place[a]),
            // One more on each side: a square decides, which is rounded otherwise than this.
            Some((at, radius)) => (
                ((at - radius).floor().max(0.0)) as u64,
                ((at + radius).ceil() as u64).min(shape[a] - 1),
            ),
        };
        let places = (first.min(place[a])..=last.max(place[a])).filter_map(|voxel| {
            let held = map.get(usize::try_from(voxel as i64 - map.start()).ok()?)?;
            let apart = extent.map_or(0.0, |(at, radius)| (voxel as f64 - at) / radius);
            Some(Place { square: apart * apart, offset: held * stride, central: voxel == place[a] })
        });
        lines.push(places.collect());
    }
    let mut sum = Sum::default();
    add::<T>(&lines, block.view.data(), 0.0, true, &mut sum);
    let total = if T::DTYPE.is_float() { sum.floats } else { sum.integers as f64 };
    total / sum.count as f64
}

/// Adds the voxels of `lines`, of which `data` begins at the place that the axes before have reached:
/// at `square` from the centre, in its voxel or not.
fn add<T: Element>(lines: &[Vec<Place>], data: &[u8], square: f64, central: bool, sum: &mut Sum) {
    let [line, rest @ ..] = lines else {
        if square <= 1.0 || central {
            sum.add::<T>(bytemuck::pod_read_unaligned(&data[..size_of::<T>()]));
        }
        return;
    };
    for place in line {
        let (square, central) = (square + place.square, central && place.central);
        // What is too far already comes no nearer.
        if square <= 1.0 || central {
            add::<T>(rest, &data[place.offset..], square, central, sum);
        }
    }
}
