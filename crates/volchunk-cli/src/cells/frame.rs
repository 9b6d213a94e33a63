//! How a volume is shown: which axes, in which unit, at how many pixels.

use volchunk::{Region, VolumeInfo};

/// Blocks of a projection along an axis at most, so that memory does not follow the volume.
const BLOCKS: u64 = 1600;
/// Pixels of two axes behind one another, at most.
const PIXELS: f64 = 1240.0;
/// Pixels of an axis, at least; where true aspect would be less, it is stretched.
const THIN: f64 = 56.0;
/// Pixels of a voxel at most.
const ZOOM: f64 = 12.0;

/// An axis of the pictures.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// Which of the volume's axes, and which of its spatial axes; None for the height of a picture
    /// of a volume that has one axis only.
    pub(crate) axis: Option<(usize, usize)>,
    pub(crate) name: String,
    /// First voxel, and voxels.
    pub(crate) start: u64,
    pub(crate) voxels: u64,
    /// Of a voxel, in the frame's unit.
    pub(crate) size: f64,
    /// Voxels of a block of the projection, and blocks.
    pub(crate) step: u64,
    pub(crate) blocks: usize,
    pub(crate) pixels: usize,
}

impl Shown {
    fn new(axis: Option<(usize, usize)>, name: &str, range: std::ops::Range<u64>) -> Self {
        let voxels = range.end - range.start;
        let step = voxels.div_ceil(BLOCKS).max(1);
        Self {
            axis,
            name: name.to_owned(),
            start: range.start,
            voxels,
            size: 1.0,
            step,
            blocks: voxels.div_ceil(step) as usize,
            pixels: 0,
        }
    }

    /// Pixels of one voxel.
    pub(crate) fn zoom(&self) -> f64 {
        self.pixels as f64 / self.voxels as f64
    }

    /// Where voxel coordinate `at` lies, in pixels; the centre of the first voxel at half of one.
    pub(crate) fn place(&self, at: f64) -> f64 {
        (at - self.start as f64 + 0.5) * self.zoom()
    }
}

/// Two axes of the frame, by their places in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panel {
    pub(crate) down: usize,
    pub(crate) across: usize,
    /// The axis that is projected along, where there is one.
    pub(crate) along: Option<usize>,
}

/// The axes that are shown, slowest first, and the panels made of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) axes: Vec<Shown>,
    pub(crate) panels: Vec<Panel>,
    /// What lengths are told in.
    pub(crate) unit: &'static str,
    /// Pixels of one unit, where an axis isn't stretched.
    pub(crate) scale: f64,
}

impl Frame {
    /// How `domain` of a volume is shown: its last three spatial axes, fewer where the volume has
    /// fewer or the first of three is one voxel long; other axes are projected along.
    pub(crate) fn new(info: &VolumeInfo, domain: &Region) -> Self {
        let spatial = info.spatial_axes();
        let mut chosen: Vec<usize> = (spatial.len().saturating_sub(3)..spatial.len()).collect();
        if chosen.len() == 3 && domain.shape()[spatial[chosen[0]]] == 1 {
            chosen.remove(0);
        }
        let mut axes: Vec<Shown> = chosen
            .into_iter()
            .map(|k| {
                let a = spatial[k];
                Shown::new(Some((a, k)), &info.axes[a].name, domain.range(a))
            })
            .collect();
        let um: Option<Vec<f64>> = axes
            .iter()
            .map(|s| s.axis.and_then(|(a, _)| info.axes[a].micrometers()))
            .map(|um| um.filter(|um| um.is_finite() && *um > 0.0))
            .collect();
        let unit = if um.is_some() { "µm" } else { "voxels" };
        for (shown, size) in axes.iter_mut().zip(um.into_iter().flatten()) {
            shown.size = size;
        }
        while axes.len() < 2 {
            axes.insert(0, Shown::new(None, "", 0..1));
        }
        let extent = |s: &Shown| s.voxels as f64 * s.size;
        let depth = if axes.len() == 3 { extent(&axes[0]) } else { 0.0 };
        let n = axes.len();
        let longest = extent(&axes[n - 1]).max(extent(&axes[n - 2])) + depth;
        let smallest = axes.iter().map(|s| s.size).fold(f64::MAX, f64::min);
        let scale = (PIXELS / longest).min(ZOOM / smallest);
        for shown in &mut axes {
            shown.pixels = (extent(shown) * scale).max(THIN).round() as usize;
        }
        let panel = |down, across, along| Panel { down, across, along };
        let panels = match n {
            3 => vec![panel(1, 2, Some(0)), panel(1, 0, Some(2)), panel(0, 2, Some(1))],
            _ => vec![panel(0, 1, None)],
        };
        Self { axes, panels, unit, scale }
    }

    /// How much longer than true aspect `axis` is drawn; None where it is not.
    pub(crate) fn stretched(&self, axis: usize) -> Option<f64> {
        let shown = &self.axes[axis];
        let ratio = shown.pixels as f64 / (shown.voxels as f64 * shown.size * self.scale);
        (ratio > 1.2 && shown.axis.is_some()).then_some(ratio)
    }

    /// Lengths along an axis, in the unit, at which to set ticks: multiples of 1, 2 or 5 · 10ᵏ.
    pub(crate) fn ticks(&self, axis: usize) -> Vec<f64> {
        let shown = &self.axes[axis];
        if shown.axis.is_none() {
            return Vec::new();
        }
        let extent = shown.voxels as f64 * shown.size;
        let wanted = (shown.pixels as f64 / 95.0).max(1.0);
        let step = round_length(extent / wanted).max(if self.unit == "voxels" { 1.0 } else { 0.0 });
        let first = (shown.start as f64 * shown.size / step).ceil();
        let last = ((shown.start + shown.voxels - 1) as f64 * shown.size / step).floor();
        (0..=(last - first).max(0.0) as usize).map(|k| (first + k as f64) * step).collect()
    }
}

/// The largest of 1, 2 and 5 · 10ᵏ that is not above `length`.
pub(crate) fn round_length(length: f64) -> f64 {
    let power = 10f64.powf(length.max(f64::MIN_POSITIVE).log10().floor());
    // A logarithm can err by its last bit.
    let digit = (length / power * (1.0 + 1e-12)).max(1.0);
    power * [5.0, 2.0, 1.0].into_iter().find(|d| *d <= digit).unwrap_or(1.0)
}

/// A number with as many digits as tell it apart from its neighbours, at most four.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = if size == 0.0 { 0 } else { (3 - size.log10().floor() as i32).clamp(0, 7) };
    let text = format!("{value:.*}", digits as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use volchunk::Dtype;

    use super::*;

    fn frame(shape: &[u64], sizes: &[f64]) -> Frame {
        let mut info = VolumeInfo::new(shape, Dtype::U8);
        let spatial = info.spatial_axes();
        for (&a, &size) in spatial.iter().zip(sizes) {
            info.axes[a].scale = Some(size);
            info.axes[a].unit = Some("micrometer".into());
        }
        Frame::new(&info, &Region::whole(shape))
    }

    #[test]
    fn aspect_is_that_of_the_volume() {
        let f = frame(&[30, 510, 667], &[5.0, 2.0, 2.0]);
        let [z, y, x] = [0, 1, 2].map(|a| f.axes[a].pixels as f64);
        assert!((x / y - 667.0 / 510.0).abs() < 0.01 && (x / z - 1334.0 / 150.0).abs() < 0.1);
        assert!(x + z <= PIXELS + 1.0);
        assert_eq!(f.unit, "µm");
        assert_eq!(f.panels.len(), 3);
    }

    #[test]
    fn any_volume_fits_and_can_be_seen() {
        for shape in [&[1u64, 1, 1][..], &[7], &[10_000; 3], &[3, 100_000, 20], &[2, 3, 40, 50, 60]]
        {
            let f = frame(shape, &[]);
            for shown in &f.axes {
                assert!(shown.pixels >= 56 && shown.pixels as f64 <= PIXELS + 1.0, "{shown:?}");
                assert!(shown.blocks as u64 <= BLOCKS);
            }
        }
        assert_eq!(frame(&[1, 30, 40], &[]).panels.len(), 1);
        let thin = frame(&[10, 10_000, 10_000], &[]);
        assert!(thin.stretched(0).is_some() && thin.stretched(1).is_none());
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(round_length(0.7), 0.5);
        assert_eq!(round_length(1000.0), 1000.0);
        assert_eq!(round_length(4.9), 2.0);
        let f = frame(&[30, 510, 667], &[5.0, 2.0, 2.0]);
        assert_eq!(f.ticks(0), [0.0, 100.0]);
        assert_eq!(f.ticks(2)[..3], [0.0, 100.0, 200.0]);
        assert_eq!(number(0.012345), "0.01235");
        assert_eq!(number(1234.5), "1234");
        assert_eq!(number(2.50), "2.5");
        assert_eq!(number(-300.0), "-300");
    }
}
