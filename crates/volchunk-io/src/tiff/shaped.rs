//! tifffile's own description: `{"shape": [4, 3, 64, 64], "axes": "TZYX"}`, as JSON.
//!
//! It is also what the sink writes for 64-bit integers, which OME has no type for; scales, units
//! and origins then stand beside the axes, under the key `volchunk`.

use serde::{Deserialize, Serialize};
use volchunk::{Axis, Result, VolumeInfo};

use super::{
    describe::{Described, Facts, contiguous},
    source::Planes,
};

#[derive(Debug, Serialize, Deserialize)]
struct Shaped {
    shape: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    axes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volchunk: Option<Vec<Calibration>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Calibration {
    scale: Option<f64>,
    unit: Option<String>,
    origin: f64,
}

/// None where the text is some other JSON, or describes something else than the pages.
pub(super) fn describe(text: &str, facts: &Facts<'_>) -> Result<Option<Described>> {
    let Ok(shaped) = serde_json::from_str::<Shaped>(text) else { return Ok(None) };
    let layout = facts.layout;
    let mut tail = vec![layout.height, layout.width];
    tail.extend((layout.samples > 1).then_some(layout.samples));
    let Some(leading) = shaped.shape.strip_suffix(tail.as_slice()) else { return Ok(None) };
    let planes = leading.iter().try_fold(1u64, |n, &s| n.checked_mul(s)).unwrap_or(u64::MAX);
    let order = match planes {
        0 => return Ok(None),
        n if n == facts.pages => Planes::Pages,
        n => contiguous(n, facts)?,
    };
    // tifffile's letters for what it does not know ('Q', 'I', 'S') are no names.
    let names = shaped
        .axes
        .map(|axes| axes.to_lowercase().chars().map(String::from).collect::<Vec<_>>())
        .filter(|names| {
            names.len() == shaped.shape.len()
                && names.iter().all(|n| "tczyx".contains(n.as_str()))
                && names[leading.len()..].concat().starts_with("yx")
        });
    let default = VolumeInfo::new(&shaped.shape, layout.dtype).axes;
    let mut axes: Vec<Axis> = match names {
        Some(names) => names.into_iter().map(Axis::new).collect(),
        None if layout.samples > 1 => {
            VolumeInfo::new(&shaped.shape[..leading.len() + 2], layout.dtype).axes
        }
        None => default,
    };
    axes.truncate(leading.len() + 2);
    if let Some(all) = shaped.volchunk {
        for (axis, calibration) in axes.iter_mut().zip(all) {
            axis.scale = calibration.scale;
            axis.unit = calibration.unit;
            axis.origin = calibration.origin;
        }
    }
    let (Some(x), Some(y)) = (axes.pop(), axes.pop()) else { return Ok(None) };
    let leading = axes.into_iter().zip(leading.iter().copied()).collect();
    Ok(Some(Described { leading, z: Axis::new("z"), y, x, planes: order }))
}

/// The description of `info`.
pub(super) fn write(info: &VolumeInfo) -> String {
    let calibration =
        |a: &Axis| Calibration { scale: a.scale, unit: a.unit.clone(), origin: a.origin };
    let shaped = Shaped {
        shape: info.shape.to_vec(),
        axes: Some(info.axis_names().to_uppercase()),
        volchunk: Some(info.axes.iter().map(calibration).collect()),
    };
    // Plain numbers and strings: cannot fail; tifffile reads the voxels without it all the same.
    serde_json::to_string(&shaped).unwrap_or_default()
}
