//! OME-NGFF metadata: axes with names, units, scale and origin, read (0.4, 0.5) and written (0.5).

use serde_json::{Value, json};
use volchunk::{Axis, AxisKind, Error, Result, VolumeInfo};

/// Whether OME-NGFF 0.5 can describe the axes of `info`: two or three of space, at most one of
/// time, at most one of channel, in the order time, channel, space; names all different.
///
/// Other volumes are written as plain Zarr v3 arrays, and the caller may want to say so.
pub fn ome_describable(info: &VolumeInfo) -> bool {
    let rank = |a: &Axis| match a.kind {
        AxisKind::Time => 0,
        AxisKind::Channel => 1,
        AxisKind::Space => 2,
    };
    let count = |kind| info.axes.iter().filter(|a| a.kind == kind).count();
    let names_differ =
        (1..info.axes.len()).all(|i| info.axes[..i].iter().all(|a| a.name != info.axes[i].name));
    info.axes.is_sorted_by_key(rank)
        && matches!(count(AxisKind::Space), 2 | 3)
        && count(AxisKind::Time) <= 1
        && count(AxisKind::Channel) <= 1
        && names_differ
}

/// The value of `attributes.ome` for arrays `0`, `1` … of `levels`, finest first.
pub(super) fn describe(name: &str, levels: &[VolumeInfo]) -> Value {
    let axes: Vec<Value> = levels.first().map_or(&[][..], |l| &l.axes).iter().map(axis).collect();
    let datasets: Vec<Value> = levels
        .iter()
        .enumerate()
        .map(|(k, level)| {
            let scale: Vec<f64> = level.axes.iter().map(|a| a.scale.unwrap_or(1.0)).collect();
            let origin: Vec<f64> = level.axes.iter().map(|a| a.origin).collect();
            let mut steps = vec![json!({"type": "scale", "scale": scale})];
            if origin.iter().any(|&o| o != 0.0) {
                steps.push(json!({"type": "translation", "translation": origin}));
            }
            json!({"path": k.to_string(), "coordinateTransformations": steps})
        })
        .collect();
    let mut multiscale = json!({"name": name, "axes": axes, "datasets": datasets});
    if levels.len() > 1 {
        multiscale["type"] = json!("mean");
    }
    json!({"version": "0.5", "multiscales": [multiscale]})
}

fn axis(axis: &Axis) -> Value {
    let mut value = json!({"name": axis.name, "type": kind_name(axis.kind)});
    if let Some(unit) = &axis.unit {
        value["unit"] = json!(unit);
    }
    value
}

/// OME-NGFF's name of a kind of axis.
fn kind_name(kind: AxisKind) -> &'static str {
    match kind {
        AxisKind::Space => "space",
        AxisKind::Time => "time",
        AxisKind::Channel => "channel",
    }
}

fn kind_from(name: Option<&str>) -> Option<AxisKind> {
    match name? {
        "space" => Some(AxisKind::Space),
        "time" => Some(AxisKind::Time),
        "channel" => Some(AxisKind::Channel),
        _ => None,
    }
}

/// The axes of the array that `multiscales` names `path`, which has `ndim` axes.
///
/// The dataset's own transformations come first, those of the multiscales after them. A scale of 1
/// without a unit is what writers put where they know nothing, and is read as unknown.
///
/// # Errors
/// Lists of another length than `ndim`; transformations other than scale and translation; numbers
/// that are not finite, or scales that are not positive.
pub(super) fn axes(multiscales: &Value, path: &str, ndim: usize) -> Result<Vec<Axis>> {
    let mut axes = match multiscales.get("axes").and_then(Value::as_array) {
        Some(list) => list.iter().map(parse_axis).collect::<Result<Vec<_>>>()?,
        // Before 0.3 there were none, and five axes.
        None => VolumeInfo::new(&vec![1; ndim], volchunk::Dtype::U8).axes,
    };
    if axes.len() != ndim {
        return Err(Error::data(format!(
            "multiscales has {} axes, the array '{path}' has {ndim}",
            axes.len()
        )));
    }
    let datasets = multiscales.get("datasets").and_then(Value::as_array);
    let dataset = datasets
        .and_then(|list| list.iter().find(|d| d.get("path").and_then(Value::as_str) == Some(path)));
    let mut scale = vec![1.0; ndim];
    let mut origin = vec![0.0; ndim];
    for holder in dataset.into_iter().chain([multiscales]) {
        let Some(steps) = holder.get("coordinateTransformations").and_then(Value::as_array) else {
            continue;
        };
        for step in steps {
            match step.get("type").and_then(Value::as_str).unwrap_or_default() {
                "identity" => {}
                "scale" => {
                    for (a, by) in numbers(step, "scale", ndim)?.into_iter().enumerate() {
                        if by <= 0.0 {
                            return Err(Error::data(format!(
                                "scale {by} of axis '{}'; it must be positive",
                                axes[a].name
                            )));
                        }
                        scale[a] *= by;
                        origin[a] *= by;
                    }
                }
                "translation" => {
                    for (a, by) in numbers(step, "translation", ndim)?.into_iter().enumerate() {
                        origin[a] += by;
                    }
                }
                other => {
                    return Err(Error::unsupported(format!(
                        "the coordinate transformation '{other}'; volchunk reads scale, \
                         translation and identity"
                    )));
                }
            }
        }
    }
    for (a, axis) in axes.iter_mut().enumerate() {
        axis.origin = origin[a];
        let known = axis.kind != AxisKind::Channel && (scale[a] != 1.0 || axis.unit.is_some());
        axis.scale = known.then_some(scale[a]);
    }
    Ok(axes)
}

/// An axis as an object (since 0.4) or a name (0.3).
fn parse_axis(value: &Value) -> Result<Axis> {
    let name = value.as_str().or_else(|| value.get("name")?.as_str());
    let Some(name) = name else {
        return Err(Error::data(format!("an axis of multiscales has no name: {value}")));
    };
    let mut axis = Axis::new(name);
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if let Some(kind) = kind_from(text("type")) {
        axis.kind = kind;
    }
    axis.unit = text("unit").map(str::to_owned);
    Ok(axis)
}

fn numbers(step: &Value, key: &str, ndim: usize) -> Result<Vec<f64>> {
    let found = step.get(key);
    found
        .and_then(Value::as_array)
        .and_then(|list| list.iter().map(Value::as_f64).collect::<Option<Vec<_>>>())
        .filter(|list| list.len() == ndim && list.iter().all(|v| v.is_finite()))
        .ok_or_else(|| {
            let found = found.unwrap_or(&Value::Null);
            Error::data(format!("{key} is {found}; it needs {ndim} finite numbers"))
        })
}

/// Axes as they stand under `attributes.volchunk.axes` of arrays that OME cannot describe.
pub(super) fn plain_axes(axes: &[Axis]) -> Value {
    let list = axes.iter().map(|a| {
        let mut value = axis(a);
        if let Some(scale) = a.scale {
            value["scale"] = json!(scale);
        }
        value["origin"] = json!(a.origin);
        value
    });
    Value::Array(list.collect())
}

/// The reverse of [`plain_axes`]; None if it does not describe `ndim` axes.
pub(super) fn parse_plain_axes(value: &Value, ndim: usize) -> Option<Vec<Axis>> {
    let list = value.as_array().filter(|l| l.len() == ndim)?;
    let number = |v: &Value, key: &str| v.get(key)?.as_f64().filter(|x| x.is_finite());
    list.iter()
        .map(|v| {
            let mut axis = parse_axis(v).ok()?;
            axis.scale = number(v, "scale").filter(|&s| s > 0.0);
            axis.origin = number(v, "origin").unwrap_or(0.0);
            Some(axis)
        })
        .collect()
}
