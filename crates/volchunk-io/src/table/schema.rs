//! What a table's columns are, and which of them every table of points has.

use serde_json::{Value, json};
use volchunk::{Axis, AxisKind, Error, Result};

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Whole numbers below 2^63, written without a point.
    Integer,
    /// Rounded to `f32`; as text, the shortest that reads back as that `f32`.
    F32,
    /// As text, the shortest that reads back as the same `f64`.
    F64,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, unique in the table.
    pub name: String,
    /// How its values are written.
    pub kind: ColumnKind,
}

impl Column {
    /// A column of this name and kind.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Self { name: name.into(), kind }
    }
}

/// Columns and axes of a table of points.
#[derive(Debug, Clone, PartialEq)]
pub struct TableInfo {
    /// In the order of a row's values.
    pub columns: Vec<Column>,
    /// The spatial axes, slowest first: one for each of the columns `axis-0`, `axis-1`, …. A scale
    /// that is known is in `unit`; CSV keeps none of this.
    pub axes: Vec<Axis>,
    /// Anything else that belongs to the table, a JSON object. Parquet alone keeps it.
    pub attributes: Option<Value>,
}

/// Most columns of a table: rows stay small beside the batches that they come in.
pub(crate) const MOST_COLUMNS: usize = 1024;

impl TableInfo {
    /// Where the column of this name stands in a row.
    ///
    /// # Errors
    /// There is none: lists those that there are.
    pub fn index_of(&self, name: &str) -> Result<usize> {
        self.columns.iter().position(|c| c.name == name).ok_or_else(|| missing(&self.columns, name))
    }

    /// Where the coordinates stand in a row: `axis-0`, `axis-1`, …
    ///
    /// # Errors
    /// One of them is missing.
    pub fn coordinates(&self) -> Result<Vec<usize>> {
        (0..self.axes.len()).map(|a| self.index_of(&format!("axis-{a}"))).collect()
    }

    /// Axes and attributes, as formats with metadata keep them.
    pub(crate) fn metadata(&self) -> Value {
        // JSON has no infinity and no NaN; such a scale is none.
        let number = |v: f64| v.is_finite().then_some(v);
        let axes: Vec<_> = self
            .axes
            .iter()
            .map(|a| {
                json!({
                    "name": a.name,
                    "scale": a.scale.and_then(number),
                    "unit": a.unit,
                    "origin": number(a.origin).unwrap_or(0.0),
                })
            })
            .collect();
        json!({ "axes": axes, "attributes": self.attributes })
    }

    /// A table of these columns, with what [`metadata`](Self::metadata) wrote, as far as it fits
    /// them: others may have written there too.
    ///
    /// # Errors
    /// Columns that are not those of a table of points.
    pub(crate) fn with_metadata(columns: Vec<Column>, text: Option<&str>) -> Result<Self> {
        let mut axes = spatial_axes(&columns)?;
        let own: Value = text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or(Value::Null);
        if let Some(all) = own["axes"].as_array().filter(|all| all.len() == axes.len()) {
            for (axis, found) in axes.iter_mut().zip(all) {
                if let Some(name) = found["name"].as_str() {
                    axis.name = name.to_owned();
                }
                axis.scale = found["scale"].as_f64();
                axis.unit = found["unit"].as_str().map(str::to_owned);
                axis.origin = found["origin"].as_f64().unwrap_or(0.0);
            }
        }
        let attributes = Some(own["attributes"].clone()).filter(Value::is_object);
        Ok(Self { columns, axes, attributes })
    }

    /// Number of rows that `rows` holds.
    pub(crate) fn count(&self, rows: &[f64]) -> Result<usize> {
        if !rows.len().is_multiple_of(self.columns.len()) {
            return Err(Error::argument(format!(
                "{} values are not whole rows of {} columns",
                rows.len(),
                self.columns.len()
            )));
        }
        Ok(rows.len() / self.columns.len())
    }

    /// Refuses what no format can hold.
    pub(crate) fn check(&self) -> Result<()> {
        let expected = spatial_axes(&self.columns)?.len();
        if expected != self.axes.len() {
            return Err(Error::argument(format!(
                "the table has {} spatial axes, and columns for {expected}",
                self.axes.len()
            )));
        }
        Ok(())
    }
}

/// The kind that a column of this name has where a format keeps none.
pub(crate) fn kind_of(name: &str) -> ColumnKind {
    let integer = matches!(name, "index" | "channel" | "frame" | "confirmed" | "truth" | "region");
    let index = name.strip_suffix("-index").and_then(coloc_channel);
    if integer || coloc_channel(name).or(index).is_some() {
        ColumnKind::Integer
    } else {
        ColumnKind::F64
    }
}

/// The channel that a column `coloc-N` is about: 1 where a point lies in that channel too, else 0.
pub(crate) fn coloc_channel(name: &str) -> Option<u64> {
    let number = name.strip_prefix("coloc-").filter(|n| is_number(n))?;
    number.parse().ok()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The axes, without scale, that the columns `axis-0`, `axis-1`, … of a table stand for.
///
/// # Errors
/// None of these columns, or one missing among them; a name that stands twice; too many columns.
pub(crate) fn spatial_axes(columns: &[Column]) -> Result<Vec<Axis>> {
    if columns.len() > MOST_COLUMNS {
        return Err(Error::data(format!(
            "the table has {} columns; legal: at most {MOST_COLUMNS}",
            columns.len()
        )));
    }
    let mut names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
        return Err(Error::data(format!("the column '{}' stands there twice", shown(twice[0]))));
    }
    let is_axis = |c: &&Column| c.name.strip_prefix("axis-").is_some_and(is_number);
    let count = columns.iter().filter(is_axis).count().max(1);
    let expected = (0..count).map(|a| format!("axis-{a}"));
    for name in expected {
        if names.binary_search(&name.as_str()).is_err() {
            return Err(missing(columns, &name));
        }
    }
    Ok(default_axes(count))
}

/// `x`, `yx`, `zyx`; beyond that `s0 s1 …` before them.
fn default_axes(count: usize) -> Vec<Axis> {
    let known = ["z", "y", "x"];
    (0..count)
        .map(|a| match (a + known.len()).checked_sub(count) {
            Some(k) => Axis::new(known[k]),
            None => Axis { kind: AxisKind::Space, ..Axis::new(format!("s{a}")) },
        })
        .collect()
}

fn missing(columns: &[Column], name: &str) -> Error {
    let mut found: Vec<String> =
        columns.iter().take(20).map(|c| format!("'{}'", shown(&c.name))).collect();
    if columns.len() > found.len() {
        found.push("…".into());
    }
    Error::data(format!("there is no column '{name}', but {}", found.join(", ")))
}

/// The beginning of a text from a file, for a message.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    short
}

/// `value` as the integer that it is.
///
/// # Errors
/// A fraction, NaN, 2^63 or more: names row and column.
pub(crate) fn integer(value: f64, row: u64, column: &Column) -> Result<i64> {
    if value.trunc() == value && value.abs() < 9_223_372_036_854_775_808.0 {
        return Ok(value as i64);
    }
    Err(Error::data(format!(
        "row {row}, column '{}': {value:?} is not legal; legal: a whole number below 2^63",
        shown(&column.name)
    )))
}
