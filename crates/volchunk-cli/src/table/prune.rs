//! Of blobs that overlap, the larger.

use volchunk::{AxisKind, Overlap, Result, Suppressor, VolumeInfo};
use volchunk_ops::{Detector, Scales};

/// How a peak (coordinates on all axes, number of the scale, response) is laid out for the rule:
/// coordinates on the spatial axes, those on the others, σ on the last spatial axis, the response, the
/// number of the scale.
pub(super) struct Layout {
    /// The axes of the volume in that order.
    axes: Vec<usize>,
    /// Axes before the first spatial one.
    leading: usize,
    /// σ of each scale on the last spatial axis.
    sigmas: Vec<f64>,
    /// None: nothing is ever too much.
    rule: Option<Overlap>,
}

impl Layout {
    pub(super) fn new(volume: &VolumeInfo, detector: &Detector) -> Result<Self> {
        let kind = |a: &usize| volume.axes[*a].kind == AxisKind::Space;
        let (spatial, others): (Vec<usize>, Vec<usize>) = (0..volume.ndim()).partition(kind);
        let leading = (0..volume.ndim()).take_while(|a| !kind(a)).count();
        let sigmas = last_sigmas(&detector.scales);
        let (n, columns) = (spatial.len(), volume.ndim() + 3);
        let rule = match detector.overlap < 1.0 {
            true => {
                // Where the ratio is another at each scale, that of the largest one stands.
                let largest = detector.scales.sigmas(detector.scales.len() - 1);
                let ratio: Vec<f64> = largest.iter().map(|s| s / largest[n - 1]).collect();
                let most = sigmas.iter().copied().fold(0.0, f64::max);
                let group: Vec<usize> = (n..volume.ndim()).collect();
                let rule = Overlap::new(detector.overlap, most, &ratio, volume.ndim(), columns)?;
                Some(rule.with_value(volume.ndim() + 1)?.with_group(&group)?)
            }
            false => None,
        };
        Ok(Self { axes: [spatial, others].concat(), leading, sigmas, rule })
    }

    fn columns(&self) -> usize {
        self.axes.len() + 3
    }

    fn lay_out(&self, peak: &[f64], to: &mut Vec<f64>) {
        let (at, found) = peak.split_at(self.axes.len());
        to.extend(self.axes.iter().map(|&a| at[a]));
        to.extend([self.sigmas[found[0] as usize], found[1], found[0]]);
    }

    /// Appends the peak that `row` was.
    fn put_back(&self, row: &[f64], peaks: &mut Vec<f64>) {
        let (at, found) = row.split_at(self.axes.len());
        let first = peaks.len();
        peaks.resize(first + self.axes.len(), 0.0);
        self.axes.iter().zip(at).for_each(|(&a, &at)| peaks[first + a] = at);
        peaks.extend([found[2], found[1]]);
    }
}

fn last_sigmas(scales: &Scales) -> Vec<f64> {
    (0..scales.len()).filter_map(|k| scales.sigmas(k).last().copied()).collect()
}

/// Takes the peaks of a volume in raster order, and gives back those that stay, in raster order of
/// first the axes before the spatial ones, then these, then the others.
pub(super) struct Pruner<'a> {
    layout: &'a Layout,
    suppressor: Option<Suppressor<'a>>,
    /// The place on the leading axes that the suppressor is about: what lies at another is apart.
    place: Vec<f64>,
    rows: Vec<f64>,
    kept: Vec<f64>,
}

impl<'a> Pruner<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        let (place, rows, kept) = Default::default();
        Self { layout, suppressor: None, place, rows, kept }
    }

    /// Appends to `out` the peaks that are decided.
    pub(super) fn push(&mut self, peaks: &[f64], out: &mut Vec<f64>) -> Result<()> {
        let layout = self.layout;
        let Some(rule) = &layout.rule else {
            out.extend_from_slice(peaks);
            return Ok(());
        };
        let leading = |peak: &[f64]| peak[..layout.leading].to_vec();
        let peaks: Vec<&[f64]> = peaks.chunks_exact(layout.axes.len() + 2).collect();
        for same in peaks.chunk_by(|a, b| a[..layout.leading] == b[..layout.leading]) {
            let place = leading(same[0]);
            if self.suppressor.is_some() && place != self.place {
                self.finish(out)?;
            }
            self.place = place;
            self.rows.clear();
            same.iter().for_each(|peak| layout.lay_out(peak, &mut self.rows));
            let suppressor = match &mut self.suppressor {
                Some(suppressor) => suppressor,
                none => none.insert(Suppressor::new(rule)?),
            };
            suppressor.push(&self.rows, &mut self.kept)?;
            self.hand_on(out);
        }
        Ok(())
    }

    /// Appends all others that stay.
    pub(super) fn finish(&mut self, out: &mut Vec<f64>) -> Result<()> {
        if let Some(suppressor) = self.suppressor.take() {
            suppressor.finish(&mut self.kept);
        }
        self.hand_on(out);
        Ok(())
    }

    fn hand_on(&mut self, out: &mut Vec<f64>) {
        let columns = self.layout.columns();
        self.kept.chunks_exact(columns).for_each(|row| self.layout.put_back(row, out));
        self.kept.clear();
    }
}
