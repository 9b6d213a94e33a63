//! OME-XML in the first page's description: sizes, voxel size, order of pages; both ways.
//!
//! Source: the OME data model, schema 2016-06, and the OME-TIFF specification.

use std::fmt::Write as _;

use roxmltree::{Document, Node};
use volchunk::{Axis, Dtype, Error, Result, VolumeInfo};

use super::{
    describe::{Described, Facts, distance, unit},
    source::Planes,
};

const SCHEMA: &str = "http://www.openmicroscopy.org/Schemas/OME/2016-06";
/// Names the annotation that keeps axes of length 1, which OME cannot tell from missing ones.
const AXES: &str = "volchunk/axes";

pub(super) fn describe(text: &str, facts: &Facts<'_>) -> Result<Described> {
    let name = &facts.name;
    let bad = |what: String| Error::data(format!("{name}: OME-XML: {what}"));
    let document = Document::parse(text).map_err(|e| bad(format!("not well-formed: {e}")))?;
    let root = document.root_element();
    let mut all = root.descendants().filter(|n| n.has_tag_name_of("Pixels"));
    let pixels = all.next().ok_or_else(|| bad("no Pixels element".into()))?;
    let more = all.count();
    if more > 0 {
        return Err(Error::unsupported(format!(
            "{name}: OME-XML describes {} images; volchunk reads files with one",
            more + 1
        )));
    }
    let size = |key: &str| match pixels.attribute(key).map(|v| v.trim().parse::<u64>()) {
        Some(Ok(n)) if n > 0 => Ok(n),
        _ => Err(bad(format!(
            "{key} is {:?}; legal: a number above 0",
            pixels.attribute(key).unwrap_or("missing")
        ))),
    };
    let layout = facts.layout;
    if (size("SizeY")?, size("SizeX")?) != (layout.height, layout.width) {
        return Err(bad(format!(
            "SizeY×SizeX is {}×{}, the first page is {}",
            size("SizeY")?,
            size("SizeX")?,
            layout.describe()
        )));
    }
    let order = pixels.attribute("DimensionOrder").unwrap_or("XYZCT");
    let rest = order.strip_prefix("XY").unwrap_or("");
    let mut letters: Vec<char> = rest.chars().collect();
    letters.sort_unstable();
    if letters != ['C', 'T', 'Z'] {
        return Err(bad(format!(
            "DimensionOrder is '{order}'; legal: XY, then Z, C and T in any order"
        )));
    }
    // SizeC counts the samples of a pixel too.
    let channels = size("SizeC")?;
    let channels = if layout.samples > 1 && channels.is_multiple_of(layout.samples) {
        channels / layout.samples
    } else {
        channels
    };
    let fastest_first = rest
        .chars()
        .map(|letter| {
            Ok((letter, if letter == 'C' { channels } else { size(&format!("Size{letter}"))? }))
        })
        .collect::<Result<Vec<_>>>()?;
    let planes = page_order(&root, &pixels, &fastest_first, facts)?;

    let kept = root
        .descendants()
        .find(|n| n.has_tag_name_of("CommentAnnotation") && n.attribute("Namespace") == Some(AXES))
        .and_then(|n| n.descendants().find(|n| n.has_tag_name_of("Value")))
        .and_then(|n| n.text())
        .unwrap_or("");
    let first_plane = pixels.children().find(|n| {
        n.has_tag_name_of("Plane")
            && ["TheZ", "TheC", "TheT"].iter().all(|key| n.attribute(*key) == Some("0"))
    });
    let axis = |letter: char| {
        let mut axis = Axis::new(letter.to_ascii_lowercase().to_string());
        let (size, default) = match letter {
            'C' => return axis,
            'T' => ("TimeIncrement".to_owned(), "s"),
            _ => (format!("PhysicalSize{letter}"), "µm"),
        };
        axis.scale = number(&pixels, &size).and_then(distance);
        let spelled = pixels.attribute(format!("{size}Unit").as_str()).unwrap_or(default);
        axis.unit = axis.scale.and(unit(spelled)).map(str::to_owned);
        // A stage position in another unit, or in none that is physical, is not an origin.
        if let Some(plane) = first_plane {
            let key = format!("Position{letter}");
            let spelled = plane.attribute(format!("{key}Unit").as_str()).and_then(unit);
            if spelled.is_some() && spelled == axis.unit.as_deref() {
                axis.origin = number(&plane, &key).filter(|v| v.is_finite()).unwrap_or(0.0);
            }
        }
        axis
    };
    let keep = |letter: char| kept.contains(letter.to_ascii_lowercase());
    Ok(Described {
        leading: fastest_first
            .iter()
            .rev()
            .filter(|&&(letter, n)| n > 1 || keep(letter))
            .map(|&(letter, n)| (axis(letter), n))
            .collect(),
        z: axis('Z'),
        y: axis('Y'),
        x: axis('X'),
        planes,
    })
}

/// Which page holds which plane, by the TiffData elements.
fn page_order(
    root: &Node<'_, '_>,
    pixels: &Node<'_, '_>,
    fastest_first: &[(char, u64)],
    facts: &Facts<'_>,
) -> Result<Planes> {
    let name = &facts.name;
    let several = |what: String| {
        Error::unsupported(format!(
            "{name}: OME-XML: {what}; volchunk reads OME-TIFF whose planes are all in one file"
        ))
    };
    let blocks = || pixels.children().filter(|n| n.has_tag_name_of("TiffData"));
    let own = root.attribute("UUID");
    let mut ids = blocks().filter_map(|b| b.children().find(|n| n.has_tag_name_of("UUID")));
    let first = own.or_else(|| ids.next().and_then(|n| n.text()));
    if let Some(other) = ids.find(|n| n.text() != first) {
        let file = other.attribute("FileName").or(other.text()).unwrap_or("another file");
        return Err(several(format!("planes are in {file}")));
    }
    let count = fastest_first.iter().try_fold(1u64, |n, &(_, size)| n.checked_mul(size));
    let count = count.filter(|&n| n <= facts.pages).ok_or_else(|| {
        several(format!("{fastest_first:?} need more planes than the {} pages", facts.pages))
    })?;

    let bad = |what: String| Error::data(format!("{name}: OME-XML: {what}"));
    let mut order: Vec<Option<u32>> = vec![None; count as usize];
    let mut budget = count;
    for block in blocks() {
        let value = |key: &str| match block.attribute(key).map(|v| v.trim().parse::<u64>()) {
            None => Ok(None),
            Some(Ok(n)) => Ok(Some(n)),
            Some(Err(_)) => Err(bad(format!("{key} of TiffData is not a number"))),
        };
        let mut at = 0;
        let mut step = 1;
        for &(letter, size) in fastest_first {
            let index = value(&format!("First{letter}"))?.unwrap_or(0);
            if index >= size {
                return Err(bad(format!("First{letter} of TiffData is {index}, of {size}")));
            }
            at += index * step;
            step *= size;
        }
        let page = value("IFD")?;
        let default = if page.is_some() { 1 } else { count - at };
        let planes = value("PlaneCount")?.unwrap_or(default);
        let page = page.unwrap_or(0);
        let fits = planes <= budget
            && planes <= count - at
            && page.checked_add(planes).is_some_and(|stop| stop <= facts.pages);
        if !fits {
            return Err(bad(format!(
                "TiffData puts {planes} planes from plane {at} on pages from {page}; there are {count} planes, each once, and {} pages",
                facts.pages
            )));
        }
        budget -= planes;
        for k in 0..planes {
            order[(at + k) as usize] = Some((page + k) as u32);
        }
    }
    if budget == count {
        return Ok(Planes::Pages);
    }
    let order = order
        .into_iter()
        .enumerate()
        .map(|(k, page)| page.ok_or_else(|| bad(format!("no TiffData holds plane {k} of {count}"))))
        .collect::<Result<Vec<_>>>()?;
    let in_order = order.iter().enumerate().all(|(k, &page)| k == page as usize);
    Ok(if in_order { Planes::Pages } else { Planes::Ordered(order) })
}

fn number(node: &Node<'_, '_>, key: &str) -> Option<f64> {
    node.attribute(key)?.trim().parse().ok()
}

trait LocalName {
    /// Whether this is an element of that name, in whichever version of the schema.
    fn has_tag_name_of(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_of(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

/// OME's name of `dtype`; None where it has none.
pub(super) fn dtype_name(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::Bool | Dtype::U8 => "uint8",
        Dtype::U16 => "uint16",
        Dtype::U32 => "uint32",
        Dtype::I8 => "int8",
        Dtype::I16 => "int16",
        Dtype::I32 => "int32",
        Dtype::F32 => "float",
        Dtype::F64 => "double",
        Dtype::U64 | Dtype::I64 => return None,
    })
}

/// OME's symbol of a unit that [`unit`] reads back.
fn symbol(name: &str) -> Option<&'static str> {
    Some(match name {
        "micrometer" => "µm",
        "nanometer" => "nm",
        "millimeter" => "mm",
        "centimeter" => "cm",
        "meter" => "m",
        "picometer" => "pm",
        "angstrom" => "Å",
        "inch" => "in",
        "second" => "s",
        "millisecond" => "ms",
        "microsecond" => "µs",
        "nanosecond" => "ns",
        "minute" => "min",
        "hour" => "h",
        "day" => "d",
        _ => return None,
    })
}

/// The description of `info`, whose axes are some of t c z in any order, then y x.
pub(super) fn write(info: &VolumeInfo, type_name: &str) -> String {
    let leading = &info.axes[..info.ndim() - 2];
    let upper = |a: &Axis| a.name.to_uppercase();
    let mut order = "XY".to_owned();
    order.extend(leading.iter().rev().map(upper));
    for letter in ["Z", "C", "T"] {
        if !order.contains(letter) {
            order.push_str(letter);
        }
    }
    let mut sizes = String::new();
    let mut steps = String::new();
    let mut positions = String::new();
    let mut channels = 1;
    for letter in ["X", "Y", "Z", "C", "T"] {
        let at = info.axes.iter().position(|a| upper(a) == letter);
        let n = at.map_or(1, |a| info.shape[a]);
        // Writing to a String cannot fail.
        let _ = write!(sizes, " Size{letter}=\"{n}\"");
        if letter == "C" {
            channels = n;
            continue;
        }
        let Some(axis) = at.map(|a| &info.axes[a]) else { continue };
        let (Some(scale), Some(symbol)) = (axis.scale, axis.unit.as_deref().and_then(symbol))
        else {
            continue;
        };
        let key =
            if letter == "T" { "TimeIncrement".into() } else { format!("PhysicalSize{letter}") };
        let _ = write!(steps, " {key}=\"{scale}\" {key}Unit=\"{symbol}\"");
        if axis.origin != 0.0 && letter != "T" {
            let origin = axis.origin;
            let _ = write!(
                positions,
                " Position{letter}=\"{origin}\" Position{letter}Unit=\"{symbol}\""
            );
        }
    }
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><OME xmlns=\"{SCHEMA}\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:schemaLocation=\"{SCHEMA} {SCHEMA}/ome.xsd\" Creator=\"volchunk {}\">\
         <Image ID=\"Image:0\"><Pixels ID=\"Pixels:0\" DimensionOrder=\"{order}\" \
         Type=\"{type_name}\" BigEndian=\"false\"{sizes}{steps}>",
        env!("CARGO_PKG_VERSION")
    );
    for c in 0..channels {
        let _ = write!(xml, "<Channel ID=\"Channel:0:{c}\" SamplesPerPixel=\"1\"/>");
    }
    let planes: u64 = info.shape[..info.ndim() - 2].iter().product();
    let _ = write!(xml, "<TiffData IFD=\"0\" PlaneCount=\"{planes}\"/>");
    if !positions.is_empty() {
        let _ = write!(xml, "<Plane TheZ=\"0\" TheC=\"0\" TheT=\"0\"{positions}/>");
    }
    let _ = write!(
        xml,
        "</Pixels></Image><StructuredAnnotations><CommentAnnotation ID=\"Annotation:0\" \
         Namespace=\"{AXES}\"><Value>{}</Value></CommentAnnotation></StructuredAnnotations></OME>",
        info.axis_names()
    );
    xml
}
