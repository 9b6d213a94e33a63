//! Exact order statistics of a volume that is never held: its values counted by 16 bits at a time.

use std::sync::{Mutex, PoisonError};

use volchunk::{Dtype, Element, Error, Region, Result, Scratch, Sink, View, VolumeInfo, dispatch};

use crate::rows::pieces;

/// Values told apart by one pass, once they are known to begin alike.
const BINS: usize = 1 << 16;

/// The bytes of tables that `workers` threads hold while `wanted` values are searched for.
pub(super) fn table_bytes(workers: usize, wanted: usize) -> u64 {
    (workers as u64 + 1) * wanted.max(1) as u64 * (BINS as u64 * 8)
}

/// A sink that counts what it is given, and keeps nothing.
pub(super) struct Counter<'a> {
    info: VolumeInfo,
    search: &'a Search,
    /// Tables that no thread is filling just now; never more than there are threads.
    idle: Mutex<Vec<Table>>,
}

/// Voxels by their next 16 bits, a table of [`BINS`] for each beginning that is searched.
#[derive(Clone, Default)]
pub(super) struct Table {
    bins: Vec<u64>,
    /// All voxels but NaN.
    numbers: u64,
}

impl Table {
    /// Voxels that are not NaN.
    pub(super) fn numbers(&self) -> u64 {
        self.numbers
    }
}

/// A search for the values of given ranks, by the bits of their keys, highest first.
#[derive(Debug)]
pub(super) struct Search {
    dtype: Dtype,
    /// Bits of a key that are not known yet.
    unknown: u32,
    /// The beginnings of keys that are searched, ascending; one that is empty at first.
    beginnings: Vec<u64>,
    /// Per wanted value: the beginning of its key, and its rank among those that begin alike.
    wanted: Vec<(u64, u64)>,
}

impl Search {
    /// A search among voxels of `dtype`, whose ranks are named after the first pass.
    pub(super) fn new(dtype: Dtype) -> Self {
        let unknown = 8 * dtype.size() as u32;
        Self { dtype, unknown, beginnings: vec![0], wanted: Vec::new() }
    }

    /// Passes over the volume that it takes.
    pub(super) fn passes(&self) -> u32 {
        self.unknown.div_ceil(16)
    }

    /// Takes one pass into account. `ranks` says, by the number of voxels, which are wanted.
    pub(super) fn learn(&mut self, table: &Table, ranks: impl Fn(u64) -> Vec<u64>) {
        if self.wanted.is_empty() {
            self.wanted = ranks(table.numbers).into_iter().map(|rank| (0, rank)).collect();
        }
        let step = self.unknown.min(16);
        for (beginning, rank) in &mut self.wanted {
            let Ok(k) = self.beginnings.binary_search(beginning) else { continue };
            let bins = &table.bins[k * BINS..(k + 1) * BINS];
            for (digit, &count) in bins.iter().enumerate() {
                if *rank < count {
                    *beginning = *beginning << step | digit as u64;
                    break;
                }
                *rank -= count;
            }
        }
        self.unknown -= step;
        self.beginnings = self.wanted.iter().map(|w| w.0).collect();
        self.beginnings.sort_unstable();
        self.beginnings.dedup();
    }

    /// The values, when all bits are known.
    pub(super) fn values(&self) -> Vec<f64> {
        self.wanted.iter().map(|&(key, _)| dispatch!(self.dtype, T => value::<T>(key))).collect()
    }

    fn count<T: Element>(&self, from: &[T], table: &mut Table) {
        let step = self.unknown.min(16);
        let shift = self.unknown - step;
        let digits = (1u64 << step) - 1;
        let first = self.unknown as usize == 8 * size_of::<T>();
        for &v in from {
            let Some(key) = key(v) else { continue };
            table.numbers += 1;
            let digit = (key >> shift & digits) as usize;
            if first {
                table.bins[digit] += 1;
                continue;
            }
            let beginning = key >> self.unknown;
            if let Some(k) = self.beginnings.iter().position(|&b| b == beginning) {
                table.bins[k * BINS + digit] += 1;
            }
        }
    }
}

impl<'a> Counter<'a> {
    pub(super) fn new(info: VolumeInfo, search: &'a Search) -> Self {
        Self { info, search, idle: Mutex::default() }
    }

    /// What all threads counted.
    pub(super) fn table(self) -> Table {
        let tables = self.idle.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut sum = Table { bins: vec![0; self.search.beginnings.len() * BINS], numbers: 0 };
        for table in tables {
            sum.bins.iter_mut().zip(&table.bins).for_each(|(sum, n)| *sum += n);
            sum.numbers += table.numbers;
        }
        sum
    }
}

impl Sink for Counter<'_> {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, _: &Region, data: View<'_>, _: &mut Scratch) -> Result<()> {
        if data.dtype() != self.search.dtype {
            return Err(Error::data(format!(
                "a chunk of {}; {} was said",
                data.dtype(),
                self.search.dtype
            )));
        }
        let lock = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = lock().pop().unwrap_or_default();
        table.bins.resize(self.search.beginnings.len() * BINS, 0);
        dispatch!(data.dtype(), T => pieces::<T>(&data, |_, from| self.search.count(from, &mut table)));
        lock().push(table);
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// The number of a value in the order of all values of its type; None for NaN.
#[inline(always)]
fn key<T: Element>(v: T) -> Option<u64> {
    if let Some(i) = v.to_i128() {
        return Some((i - least::<T>()) as u64);
    }
    // Both zeros are one.
    let v = v.to_f64() + 0.0;
    let (bits, sign) = match T::DTYPE {
        Dtype::F32 => (u64::from((v as f32).to_bits()), 1 << 31),
        _ => (v.to_bits(), 1 << 63),
    };
    // Negative floats ascend as their bits descend.
    let ascending = if bits & sign == 0 { bits | sign } else { !bits & (sign | (sign - 1)) };
    (!v.is_nan()).then_some(ascending)
}

/// The value of a key.
fn value<T: Element>(key: u64) -> f64 {
    if !T::DTYPE.is_float() {
        return (i128::from(key) + least::<T>()) as f64;
    }
    let sign: u64 = if T::DTYPE == Dtype::F32 { 1 << 31 } else { 1 << 63 };
    let bits = if key & sign != 0 { key ^ sign } else { !key & (sign | (sign - 1)) };
    match T::DTYPE {
        Dtype::F32 => f32::from_bits(bits as u32).into(),
        _ => f64::from_bits(bits),
    }
}

/// The least value of an integer type.
#[inline(always)]
fn least<T: Element>() -> i128 {
    match T::DTYPE {
        Dtype::Bool => 0,
        _ => T::from_i128(i128::MIN).to_i128().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Element>(values: &[T]) {
        let keys: Vec<u64> = values.iter().map(|&v| key(v).unwrap()).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{values:?}: {keys:?}");
        for (&v, &k) in values.iter().zip(&keys) {
            assert_eq!(value::<T>(k), v.to_f64());
            assert!(size_of::<T>() == 8 || k >> (8 * size_of::<T>()) == 0);
        }
    }

    #[test]
    fn keys_follow_the_order_of_values() {
        check(&[volchunk::Bool(0), volchunk::Bool(1)]);
        check(&[i8::MIN, -1, 0, 1, i8::MAX]);
        check(&[0u16, 1, u16::MAX]);
        check(&[i64::MIN, -1, 0, 1, i64::MAX]);
        check(&[0, 1, u64::MAX]);
        check(&[f32::NEG_INFINITY, f32::MIN, -1.0, -1e-45, 0.0, 1e-45, 1.0, f32::INFINITY]);
        check(&[f64::NEG_INFINITY, f64::MIN, -1.0, 0.0, 5e-324, 1.0, f64::INFINITY]);
        assert_eq!(key(f64::NAN), None);
        assert_eq!(key(-0.0f32), key(0.0f32));
    }
}
