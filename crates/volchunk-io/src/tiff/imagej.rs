//! ImageJ's description: `ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nspacing=5\nunit=micron`.
//!
//! Pages run over channels fastest, then slices, then frames. Source: ImageJ's `FileInfo` and
//! `TiffEncoder`, and the hyperstacks that it writes.

use volchunk::{Axis, Result};

use super::{
    describe::{Described, Facts, contiguous, distance, unit},
    source::Planes,
};

pub(super) fn describe(text: &str, facts: &Facts<'_>) -> Result<Described> {
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
    };
    let count = |key| value(key).and_then(|v| v.parse::<u64>().ok()).filter(|&n| n > 0);
    let number = |key| value(key).and_then(|v| v.parse::<f64>().ok());

    let [c, z, t] = ["channels", "slices", "frames"].map(|key| count(key).unwrap_or(1));
    let product = c.checked_mul(z).and_then(|n| n.checked_mul(t));
    let images = count("images").unwrap_or(1);
    // Above 4 GB, ImageJ writes a single directory and all planes behind its first offset.
    let (total, planes) = if facts.pages == 1 && images > 1 {
        (images, contiguous(images, facts)?)
    } else {
        (facts.pages, Planes::Pages)
    };
    // Like ImageJ, take the pages for slices where the dimensions do not account for them.
    let (c, z, t) = if product == Some(total) { (c, z, t) } else { (1, total, 1) };
    let mut described = Described {
        leading: [("t", t), ("c", c), ("z", z)]
            .into_iter()
            .filter(|&(_, n)| n > 1)
            .map(|(name, n)| (Axis::new(name), n))
            .collect(),
        planes,
        ..Described::plain(1)
    };
    // Pages run c fastest, so c stands behind z: t z c y x.
    if z > 1 && c > 1 {
        let last = described.leading.len() - 1;
        described.leading.swap(last - 1, last);
    }
    let length = value("unit").and_then(unit);
    if let Some(name) = length {
        let calibrate = |axis: &mut Axis, step: Option<f64>| {
            axis.scale = step.and_then(distance);
            axis.unit = axis.scale.map(|_| name.to_owned());
        };
        calibrate(&mut described.y, facts.resolution.1.map(f64::recip));
        calibrate(&mut described.x, facts.resolution.0.map(f64::recip));
        calibrate(&mut described.z, number("spacing").map(f64::abs));
        // ImageJ names the units of y and z only where they differ from that of x.
        for (key, axis) in [("yunit", &mut described.y), ("zunit", &mut described.z)] {
            if let (Some(_), Some(own)) = (axis.scale, value(key).and_then(unit)) {
                axis.unit = Some(own.to_owned());
            }
        }
        for (axis, _) in described.leading.iter_mut().filter(|(a, _)| a.name == "z") {
            axis.clone_from(&described.z);
        }
    }
    for (axis, _) in described.leading.iter_mut().filter(|(a, _)| a.name == "t") {
        axis.scale = number("finterval").and_then(distance);
        let name = value("tunit").map_or(Some("second"), unit);
        axis.unit = axis.scale.and(name).map(str::to_owned);
    }
    Ok(described)
}
