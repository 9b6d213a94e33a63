//! What the description of the first page says about axes and voxel size.

use volchunk::{Axis, Error, Result};

use super::{imagej, ome, page::Layout, shaped, source::Planes};

/// The pages of a file, or the files of a folder, and what stands in the first one.
pub(super) struct Facts<'a> {
    /// Name of the file, for messages.
    pub(super) name: String,
    /// Number of pages.
    pub(super) pages: u64,
    pub(super) layout: &'a Layout,
    /// Pixels per unit along x and y, where the tags give them.
    pub(super) resolution: (Option<f64>, Option<f64>),
}

/// The axes of a volume and the order of its pages.
#[derive(Debug)]
pub(super) struct Described {
    /// Axes before y with their lengths, slowest first.
    pub(super) leading: Vec<(Axis, u64)>,
    /// The calibration of z, even where there is one plane: a folder's axis.
    pub(super) z: Axis,
    pub(super) y: Axis,
    pub(super) x: Axis,
    pub(super) planes: Planes,
}

impl Described {
    /// Pages one behind the other, along z if there are several, without a scale.
    pub(super) fn plain(pages: u64) -> Self {
        Self {
            leading: (pages > 1).then(|| (Axis::new("z"), pages)).into_iter().collect(),
            z: Axis::new("z"),
            y: Axis::new("y"),
            x: Axis::new("x"),
            planes: Planes::Pages,
        }
    }
}

/// Reads the description `text` of a single file's first page.
///
/// # Errors
/// A description that contradicts the pages, or that names more than this file.
pub(super) fn describe(text: &str, facts: &Facts<'_>) -> Result<Described> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with("ImageJ=") {
        return imagej::describe(text, facts);
    }
    if text.starts_with('<') && (text.contains("<OME") || text.contains(":OME ")) {
        return ome::describe(text, facts);
    }
    if text.starts_with('{')
        && let Some(described) = shaped::describe(text, facts)?
    {
        return Ok(described);
    }
    Ok(Described::plain(facts.pages))
}

/// The order of planes where `planes` of them lie behind the first offset of the only page.
///
/// # Errors
/// Where the file does not hold as many.
pub(super) fn contiguous(planes: u64, facts: &Facts<'_>) -> Result<Planes> {
    if facts.pages != 1 {
        return Err(Error::data(format!(
            "{}: its description claims {planes} planes, the file has {} pages; legal: as many, or one page with all planes behind it",
            facts.name, facts.pages
        )));
    }
    Ok(if planes == 1 { Planes::Pages } else { Planes::Contiguous })
}

/// OME-NGFF's name of a length or time unit, from the spellings that files use.
pub(super) fn unit(text: &str) -> Option<&'static str> {
    Some(match text.trim() {
        "micron" | "microns" | "um" | "µm" | "μm" | "\\u00B5m" | "\\u00b5m" | "micrometer"
        | "micrometre" => "micrometer",
        "nm" | "nanometer" | "nanometre" => "nanometer",
        "mm" | "millimeter" | "millimetre" => "millimeter",
        "cm" | "centimeter" => "centimeter",
        "m" | "meter" | "metre" => "meter",
        "pm" | "picometer" => "picometer",
        "Å" | "angstrom" => "angstrom",
        "in" | "inch" => "inch",
        "s" | "sec" | "second" | "seconds" => "second",
        "ms" | "msec" | "millisecond" => "millisecond",
        "µs" | "μs" | "us" | "microsecond" => "microsecond",
        "ns" | "nanosecond" => "nanosecond",
        "min" | "minute" => "minute",
        "h" | "hour" => "hour",
        "d" | "day" => "day",
        _ => return None,
    })
}

/// `value` where it can be the distance between voxels.
pub(super) fn distance(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then_some(value)
}
