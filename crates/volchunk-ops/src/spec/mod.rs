//! Ops as text: `name:key=value[:key=value…]`.

mod detector;
mod given;
mod table;
mod value;

use std::{fmt, str::FromStr};

pub use detector::Detector;
pub use table::{Key, OPS, OpInfo, help};
use value::Value;
pub use value::{Kind, Length};
use volchunk::{Error, Op, Pipeline, Result, VolumeInfo};

/// An op and its parameters, not bound to a volume yet.
///
/// Parsed and checked as far as can be without a volume. Its `Display` is canonical: keys in the
/// table's order, defaults written out, so that equal jobs have equal text and a job file keeps its
/// meaning if a default ever changes.
///
/// ```
/// use volchunk_ops::OpSpec;
/// let op = OpSpec::parse("gaussian:boundary=wrap:sigma=1,2.50,2.5")?;
/// assert_eq!(op.to_string(), "gaussian:sigma=1,2.5,2.5:boundary=wrap");
/// assert_eq!(OpSpec::parse("gaussian:sigma=5um")?.to_string(), "gaussian:sigma=5um:boundary=reflect");
/// let error = OpSpec::parse("gausian:sigma=1").unwrap_err().to_string();
/// assert!(error.contains("did you mean 'gaussian'"), "{error}");
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct OpSpec {
    info: &'static OpInfo,
    /// One for each key of the op; None where it was not given and has no default.
    values: Vec<Option<Value>>,
}

impl OpSpec {
    /// Parses `name:key=value[:key=value…]`; values for several axes are separated by commas.
    ///
    /// # Errors
    /// An unknown op or key, a key given twice or missing, a value that is not legal. The message
    /// quotes the text and lists what would be legal.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_inner(text).map_err(|e| e.context(format!("op '{text}'")))
    }

    fn parse_inner(text: &str) -> Result<Self> {
        let (name, rest) = text.split_once(':').map_or((text, None), |(n, r)| (n, Some(r)));
        let info = OPS
            .iter()
            .find(|o| o.name == name)
            .ok_or_else(|| unknown("op", name, OPS.iter().map(|o| o.name)))?;
        let mut values = vec![None; info.keys.len()];
        for part in rest.into_iter().flat_map(|r| r.split(':')) {
            let (key, value) = part.split_once('=').ok_or_else(|| {
                Error::argument(format!("'{part}' is not key=value; legal: {}", info.usage()))
            })?;
            let k = info
                .keys
                .iter()
                .position(|k| k.name == key)
                .ok_or_else(|| unknown("key", key, info.keys.iter().map(|k| k.name)))?;
            if values[k].is_some() {
                return Err(Error::argument(format!("key '{key}' is given twice; legal: once")));
            }
            values[k] = Some(info.keys[k].kind.parse(value).map_err(|e| e.context(key))?);
        }
        for (value, key) in values.iter_mut().zip(info.keys) {
            match (&value, key.default) {
                (None, Some(default)) => *value = Some(key.kind.parse(default)?),
                (None, None) if key.required => {
                    return Err(Error::argument(format!(
                        "key '{}' is missing; legal: {}",
                        key.name,
                        info.usage()
                    )));
                }
                _ => {}
            }
        }
        let spec = Self { info, values };
        (info.check)(&spec)?;
        Ok(spec)
    }

    /// The op's row in [`OPS`].
    pub fn info(&self) -> &'static OpInfo {
        self.info
    }

    /// The op for volumes like `input`: values for the spatial axes go to their axes, µm become
    /// voxels by the axes' scale.
    ///
    /// # Errors
    /// Values that don't fit the volume: their count, µm where the voxel size is unknown, names of
    /// axes, shapes that overflow, an axis without voxels.
    pub fn bind(&self, input: &VolumeInfo) -> Result<Box<dyn Op>> {
        (self.info.bind)(self, input).map_err(|e| e.context(format!("op '{self}'")))
    }

    /// Whether this op needs to know of its whole input what was not found yet;
    /// [`resolve`](crate::resolve) finds it.
    pub fn needs_pass(&self) -> bool {
        self.lacks_largest() || !self.missing().is_empty()
    }

    /// Whether its result depends on all of its input, of which it was told something, or has to be.
    pub fn depends_on_whole(&self) -> bool {
        self.needs_pass() || self.value("found").is_some()
    }

    /// The percentiles of its whole input that this op still needs.
    pub(crate) fn missing(&self) -> Vec<f64> {
        let found = matches!(self.found(), Ok(Some(_)));
        // What was parsed has them.
        if found { Vec::new() } else { (self.info.percents)(self).unwrap_or_default() }
    }

    /// The same op, told what was missing: percentiles, or the largest response.
    ///
    /// # Errors
    /// Not as many as were missing; values that are not finite, or not ascending.
    pub fn with_found(&self, found: &[f64]) -> Result<Self> {
        let values = found.iter().map(|&v| crate::Number::from_f64(v)).collect::<Result<_>>()?;
        let mut spec = self.clone();
        for (value, key) in spec.values.iter_mut().zip(self.info.keys) {
            if key.name == "found" {
                *value = Some(Value::Numbers(values));
                break;
            }
        }
        (self.info.check)(&spec)?;
        Ok(spec)
    }

    /// Whether `other` is this op, but for what may have been found for it.
    pub fn agrees(&self, other: &Self) -> bool {
        let apart = |(key, (a, b)): (&Key, (&Option<Value>, &Option<Value>))| {
            a != b && !(key.name == "found" && (a.is_none() || b.is_none()))
        };
        let values = self.values.iter().zip(&other.values);
        self.info == other.info && !self.info.keys.iter().zip(values).any(apart)
    }

    fn value(&self, key: &str) -> Option<&Value> {
        let k = self.info.keys.iter().position(|k| k.name == key)?;
        self.values.get(k)?.as_ref()
    }
}

/// The ops behind one another, each bound to the output of the one before.
///
/// # Errors
/// As [`OpSpec::bind`].
pub fn bind_chain(specs: &[OpSpec], input: VolumeInfo) -> Result<Pipeline> {
    let mut ops: Vec<Box<dyn Op>> = Vec::with_capacity(specs.len());
    for spec in specs {
        let op = match ops.last() {
            Some(before) => spec.bind(&before.outputs()[0].info)?,
            None => spec.bind(&input)?,
        };
        ops.push(op);
    }
    Pipeline::chain(input, ops)
}

impl FromStr for OpSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for OpSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info.name)?;
        for (key, value) in self.info.keys.iter().zip(&self.values) {
            if let Some(value) = value {
                write!(f, ":{}={value}", key.name)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for OpSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpSpec({self})")
    }
}

/// An error that lists the legal names, the nearest first if it is near.
fn unknown(what: &str, name: &str, legal: impl Iterator<Item = &'static str>) -> Error {
    let legal: Vec<_> = legal.collect();
    let near = legal.iter().map(|l| (distance(name, l), l)).min().filter(|(d, _)| *d <= 2);
    let hint = near.map_or(String::new(), |(_, l)| format!("did you mean '{l}'? "));
    Error::argument(format!("unknown {what} '{name}'; {hint}legal: {}", legal.join(", ")))
}

/// Edit distance (Levenshtein); far above 2 where the lengths alone differ by more.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    if a.chars().count().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
