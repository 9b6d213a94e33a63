//! Parquet, as far as tables of numbers need it.
//!
//! Its own few hundred lines, not the crate `parquet`: that allocates the length that a page's
//! header claims, and brings a calendar and big decimals along. Written are required columns of
//! INT64, FLOAT and DOUBLE, plain, in Zstandard; row groups of at most 8 MiB. Read is what pandas,
//! pyarrow, polars and DuckDB write of flat numeric columns by default.
//! Source: `parquet.thrift`, `Encodings.md` and `Compression.md` of Apache Parquet.

mod footer;
mod page;
mod read;
mod snappy;
mod thrift;
mod write;

pub(super) use read::open;
pub(super) use write::create;

/// What a Parquet file begins and ends with.
const MAGIC: &[u8] = b"PAR1";

/// The key of our own entry in the file's metadata, JSON: axes and attributes.
const KEY: &str = "volchunk";

/// How a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Physical {
    Int32,
    Int64,
    Uint32,
    Uint64,
    Float,
    Double,
}

impl Physical {
    /// Parquet's number of the type.
    fn code(self) -> i32 {
        match self {
            Self::Int32 | Self::Uint32 => 1,
            Self::Int64 | Self::Uint64 => 2,
            Self::Float => 4,
            Self::Double => 5,
        }
    }

    /// Bytes of a value.
    fn size(self) -> usize {
        match self {
            Self::Int32 | Self::Uint32 | Self::Float => 4,
            Self::Int64 | Self::Uint64 | Self::Double => 8,
        }
    }

    /// The value that [`Self::size`] bytes stand for.
    fn value(self, b: &[u8]) -> f64 {
        let four = || u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let eight = || u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        match self {
            Self::Int32 => f64::from(four() as i32),
            Self::Uint32 => f64::from(four()),
            Self::Float => f64::from(f32::from_bits(four())),
            Self::Int64 => eight() as i64 as f64,
            Self::Uint64 => eight() as f64,
            Self::Double => f64::from_bits(eight()),
        }
    }
}
