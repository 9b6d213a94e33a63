//! Values of an op's keys: what is legal, and what was given.

use std::fmt;

use volchunk::{Boundary, Dtype, Error, Result};

use crate::Number;

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Lengths of at least 0 in voxels, or with the suffix `um` in µm; one for all spatial axes, or
    /// one for each, or one for each axis of the volume. So below, where it says one or more.
    Lengths,
    /// Lengths above 0 in µm, suffix `um`; one or more.
    Micrometers,
    /// Numbers above 0; one or more.
    Factors,
    /// Integers of at least 1; one or more.
    Counts,
    /// Integers of at least 0; one or more.
    Integers,
    /// A number.
    Number,
    /// Numbers; one or more.
    Numbers,
    /// What lies beyond the true edge; one or more.
    Boundaries,
    /// A dtype by NumPy's name.
    Dtype,
    /// Names of axes.
    Axes,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A parsed value. Never NaN, so that equality is what it seems.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Lengths(Vec<Length>),
    Counts(Vec<u64>),
    Number(Number),
    Numbers(Vec<Number>),
    Boundaries(Vec<Boundary>),
    Dtype(Dtype),
    Word(String),
}

/// A length of at least 0, finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Length {
    /// The number, without its unit.
    pub value: f64,
    /// In µm, else in voxels or without a unit.
    pub micrometers: bool,
}

impl Length {
    /// Reads lengths separated by commas, as an op's keys have them.
    ///
    /// ```
    /// use volchunk_ops::Length;
    /// let lengths = Length::parse_all("2,6um")?;
    /// assert_eq!(lengths[0], Length { value: 2.0, micrometers: false });
    /// assert_eq!(lengths[1], Length { value: 6.0, micrometers: true });
    /// # Ok::<(), volchunk::Error>(())
    /// ```
    ///
    /// # Errors
    /// What is no number, is below 0 or not finite, or has another unit.
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        match Kind::Lengths.parse(text)? {
            Value::Lengths(lengths) => Ok(lengths),
            _ => Ok(Vec::new()),
        }
    }
}

impl Kind {
    /// What is legal, for usage lines and errors.
    pub fn legal(self) -> String {
        match self {
            Self::Lengths => "numbers of at least 0 in voxels, or in µm as 5um".into(),
            Self::Micrometers => "lengths above 0 in µm, as 5um".into(),
            Self::Factors => "numbers above 0".into(),
            Self::Counts => "integers of at least 1".into(),
            Self::Integers => "integers of at least 0".into(),
            Self::Number => "a number such as 3, -1.5, 1e4".into(),
            Self::Numbers => "numbers such as 3, -1.5, 1e4".into(),
            Self::Boundaries => "reflect, mirror, nearest, wrap, constant, constant(VALUE)".into(),
            Self::Dtype => Dtype::ALL.map(Dtype::name).join(", "),
            Self::Axes => "the names of all axes in their new order, as xyz or x,y,z".into(),
            Self::Choice(words) => words.join(", "),
        }
    }

    /// The value in short, for usage lines.
    pub fn placeholder(self) -> String {
        match self {
            Self::Lengths => "N[um][,…]".into(),
            Self::Micrometers => "Num[,…]".into(),
            Self::Factors | Self::Counts | Self::Integers | Self::Numbers => "N[,…]".into(),
            Self::Number => "N".into(),
            Self::Boundaries => "BOUNDARY[,…]".into(),
            Self::Dtype => "DTYPE".into(),
            Self::Axes => "NAMES".into(),
            Self::Choice(words) => words.join("|"),
        }
    }

    pub(super) fn parse(self, text: &str) -> Result<Value> {
        let error = || Error::argument(format!("'{text}' is not legal; legal: {}", self.legal()));
        let each = |part: fn(Self, &str) -> Option<Length>| {
            text.split(',')
                .map(|t| {
                    part(self, t).ok_or_else(|| {
                        let of = if t == text { String::new() } else { format!(" (in '{text}')") };
                        Error::argument(format!("'{t}'{of} is not legal; legal: {}", self.legal()))
                    })
                })
                .collect::<Result<Vec<_>>>()
        };
        Ok(match self {
            Self::Lengths | Self::Micrometers | Self::Factors => {
                Value::Lengths(each(Self::length)?)
            }
            Self::Counts | Self::Integers => {
                let least = u64::from(self == Self::Counts);
                Value::Counts(
                    text.split(',')
                        .map(|t| t.parse().ok().filter(|&k: &u64| k >= least).ok_or_else(error))
                        .collect::<Result<_>>()?,
                )
            }
            Self::Number => Value::Number(Number::parse(text)?),
            Self::Numbers => {
                Value::Numbers(text.split(',').map(Number::parse).collect::<Result<_>>()?)
            }
            Self::Boundaries => Value::Boundaries(
                text.split(',')
                    .map(|t| match Boundary::parse(t)? {
                        Boundary::Constant(v) if !v.is_finite() => Err(error()),
                        boundary => Ok(boundary),
                    })
                    .collect::<Result<_>>()?,
            ),
            Self::Dtype => Value::Dtype(Dtype::from_name(text)?),
            Self::Axes if text.is_empty() => return Err(error()),
            Self::Axes => Value::Word(text.into()),
            Self::Choice(words) if words.contains(&text) => Value::Word(text.into()),
            Self::Choice(_) => return Err(error()),
        })
    }

    fn length(self, text: &str) -> Option<Length> {
        let stripped = text.strip_suffix("um").or_else(|| text.strip_suffix("µm"));
        let micrometers = stripped.is_some();
        let allowed = match self {
            Self::Micrometers => micrometers,
            Self::Factors => !micrometers,
            _ => true,
        };
        let value: f64 = stripped.unwrap_or(text).parse().ok()?;
        let enough = value > 0.0 || (value == 0.0 && self == Self::Lengths);
        (allowed && enough && value.is_finite()).then_some(Length { value, micrometers })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lengths(all) => {
                for (k, length) in all.iter().enumerate() {
                    let comma = if k > 0 { "," } else { "" };
                    let unit = if length.micrometers { "um" } else { "" };
                    write!(f, "{comma}{}{unit}", length.value)?;
                }
                Ok(())
            }
            Self::Counts(all) => f.write_str(&joined(all)),
            Self::Number(v) => write!(f, "{v}"),
            Self::Numbers(all) => f.write_str(&joined(all)),
            Self::Boundaries(all) => f.write_str(&joined(all)),
            Self::Dtype(v) => write!(f, "{v}"),
            Self::Word(v) => f.write_str(v),
        }
    }
}

fn joined(all: &[impl fmt::Display]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
