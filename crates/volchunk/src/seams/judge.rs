//! Whether a plane stands out from the planes beside it.

use super::{
    AxisSeams, KINDS, Lattice, Measure, Site,
    jumps::{Jump, LENGTH},
    sites::{BESIDE, FEWEST},
};

/// Robust standard deviations by which all planes of an axis, taken together, must stand out.
pub const SCORE_GRID: f64 = 8.0;
/// Robust standard deviations by which one plane must stand out.
pub const SCORE_PLANE: f64 = 12.0;

/// How much farther than any off-grid plane, above their median.
const MARGIN: f64 = 1.5;
/// Least scale of the logarithms: differences of a per cent are nobody's seams.
const LEAST: f64 = 0.005;
/// What a single patch's logarithm counts for at most, so that a wild voxel doesn't outweigh all.
const MOST: f64 = 7.0;
/// Added to a patch's jumps, as a share of the volume's: what is empty has no roughness of its own.
const FLOOR: f64 = 0.05;

/// How a plane compares with those beside it, by the measure in which it stands out most.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What was measured.
    pub jump: Jump,
    /// Robust standard deviations above the median of the off-grid planes; less where one of those
    /// lies as high.
    pub score: f64,
    /// How many times as large as across off-grid planes, by their geometric means over patches.
    pub ratio: f64,
    /// Whether it is a seam.
    pub found: bool,
    /// The same ratio for the planes beside it, by their distance in voxels; 0 is the plane itself.
    pub profile: Vec<(i64, f64)>,
}

/// Logarithms of how a patch's, a plane's or a grid's jumps compare; NaN where unknown.
type Curve = [f64; LENGTH];

/// Judges an axis by what was measured on its planes.
pub(super) fn judge(axis: &mut AxisSeams, lattice: &Lattice<'_>, own: &[(&Site, &Measure)]) {
    let mut planes: Vec<u64> = own.iter().map(|(site, _)| site.plane).collect();
    planes.dedup();
    let mut best: Vec<Option<Finding>> = vec![None; planes.len()];
    let mut kinds = Vec::new();
    for (kind, &jump) in KINDS.iter().enumerate() {
        let off = |k: usize, plane| lattice.is_off_grid(axis.axis, plane, k as i64 - BESIDE as i64);
        let patches = compare(own, kind, off);
        let curves: Vec<Curve> = planes
            .iter()
            .map(|p| {
                mean(own.iter().zip(&patches).filter(|((s, _), _)| s.plane == *p).map(|x| x.1))
            })
            .collect();
        let scales: Vec<f64> = curves.iter().filter_map(|c| spread(c).map(|s| s.scale)).collect();
        let common = median(scales).unwrap_or(0.0);
        let all = finding(jump, &mean(curves.iter()), 0.0, SCORE_GRID);
        keep(&mut axis.grid, all);
        for (best, curve) in best.iter_mut().zip(&curves) {
            keep(best, finding(jump, curve, common, SCORE_PLANE));
        }
        kinds.push(patches);
    }
    axis.each = planes.into_iter().zip(best).filter_map(|(p, f)| Some((p, f?))).collect();
    // Where the strongest finding can be seen best.
    let Some(strongest) = axis.strongest() else { return };
    let plane = axis.each.iter().find(|(_, f)| std::ptr::eq(f, strongest)).map(|(p, _)| *p);
    let Some(kind) = KINDS.iter().position(|&kind| kind == strongest.jump) else { return };
    let candidates = own.iter().zip(&kinds[kind]).filter(|((site, _), patch)| {
        plane.is_none_or(|p| p == site.plane) && patch[BESIDE as usize].is_finite()
    });
    let worst =
        candidates.max_by(|(_, a), (_, b)| a[BESIDE as usize].total_cmp(&b[BESIDE as usize]));
    axis.worst = worst.map(|((site, _), _)| (site.region.clone(), site.plane));
}

/// Every patch's jumps of one kind over its median off the grid. Where a plane is on the grid but
/// not the patch's own, or near one, it is unknown.
fn compare(
    own: &[(&Site, &Measure)],
    kind: usize,
    off_grid: impl Fn(usize, u64) -> bool,
) -> Vec<Curve> {
    let mut known: Vec<Curve> = Vec::with_capacity(own.len());
    for (site, measure) in own {
        let mut curve = measure.0[kind];
        for (k, v) in curve.iter_mut().enumerate() {
            if k != BESIDE as usize && !off_grid(k, site.plane) {
                *v = f64::NAN;
            }
        }
        known.push(curve);
    }
    let medians: Vec<f64> =
        known.iter().map(|c| median(off(c).collect()).unwrap_or(f64::NAN)).collect();
    // Of the patches in which anything changes; their median, for one bad voxel can outweigh all.
    let means = known.iter().map(|c| off(c).sum::<f64>() / off(c).count().max(1) as f64);
    let typical = median(means.filter(|&m| m > 0.0).collect()).unwrap_or(0.0);
    for (curve, median) in known.iter_mut().zip(medians) {
        let floor = FLOOR * typical + f64::MIN_POSITIVE;
        curve
            .iter_mut()
            .for_each(|v| *v = ((*v + floor) / (median + floor)).ln().clamp(-MOST, MOST));
    }
    known
}

/// What is known off the grid.
fn off(curve: &Curve) -> impl Iterator<Item = f64> + '_ {
    let known = curve.iter().enumerate().filter(|(k, v)| *k != BESIDE as usize && !v.is_nan());
    known.map(|(_, v)| *v)
}

/// The mean of what is known at each place.
fn mean<'a>(curves: impl Iterator<Item = &'a Curve>) -> Curve {
    let (mut sum, mut count) = ([0.0; LENGTH], [0.0; LENGTH]);
    for curve in curves {
        for k in (0..LENGTH).filter(|&k| !curve[k].is_nan()) {
            sum[k] += curve[k];
            count[k] += 1.0;
        }
    }
    std::array::from_fn(|k| sum[k] / count[k])
}

struct Spread {
    median: f64,
    scale: f64,
    highest: f64,
}

/// How the off-grid planes of a curve are spread; None where they are too few.
fn spread(curve: &Curve) -> Option<Spread> {
    let values: Vec<f64> = off(curve).collect();
    if values.len() < FEWEST {
        return None;
    }
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(values.clone())?;
    let scale = 1.4826 * median(values.iter().map(|v| (v - middle).abs()).collect())?;
    Some(Spread { median: middle, scale, highest })
}

/// What `curve` tells of the plane in its middle; `common` is the scale of other planes.
fn finding(jump: Jump, curve: &Curve, common: f64, enough: f64) -> Option<Finding> {
    let Spread { median, scale, highest } = spread(curve)?;
    let above = curve[BESIDE as usize] - median;
    if above.is_nan() {
        return None;
    }
    // Not beyond what its lead over the highest off-grid plane is worth.
    let lead = above / (MARGIN * (highest - median)).max(f64::MIN_POSITIVE);
    let score = (above / scale.max(common).max(LEAST)).min(enough * lead);
    let profile = curve.iter().enumerate().filter(|(_, v)| !v.is_nan());
    Some(Finding {
        jump,
        score,
        ratio: above.exp(),
        found: score >= enough,
        profile: profile.map(|(k, v)| (k as i64 - BESIDE as i64, (v - median).exp())).collect(),
    })
}

/// Keeps the stronger finding: one that is a seam, else that of the higher score.
fn keep(best: &mut Option<Finding>, next: Option<Finding>) {
    let Some(next) = next else { return };
    let stronger = |old: &Finding| (next.found, next.score) > (old.found, old.score);
    if best.as_ref().is_none_or(stronger) {
        *best = Some(next);
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|v| !v.is_nan());
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let odd = values.len() % 2 == 1;
    Some(if odd { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 })
}
