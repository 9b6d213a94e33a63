//! The shape that chunks will have once merged.

use crate::{Error, Result, geometry::Coords, geometry::voxels};

/// The shape of the array that chunks of `shapes` merge into: what chunks that were rescaled or
/// trimmed, whose shapes no grid knows any more, add up to.
///
/// `counts` is the number of chunks on each axis; `shapes` has one shape per chunk, in C order
/// (last axis fastest). Axes of the shapes beyond those of `counts` are undivided, such as
/// channels. A grid without chunks gives zeros on the axes of `counts`.
///
/// Without `overlap`, or where it is 0, the lengths add up. With it, chunk `i` of an axis is taken to be
/// `[i·m, min(i·m + m + overlap, size))`, as a halo of `(0, overlap)` gives; the chunk length `m`
/// and the size are recovered from the lengths, also where the end of the volume cut short more
/// than the last chunk.
///
/// ```
/// use volchunk::merged_shape;
/// assert_eq!(merged_shape(&[1, 2], &[[8, 5], [8, 3]], None)?[..], [8, 8]);
/// // 9 voxels in chunks of 4 that overlap by 2: 0:6, 4:9, 8:9.
/// assert_eq!(merged_shape(&[3], &[[6], [5], [1]], Some(&[2]))?[..], [9]);
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the number of shapes, of their axes
/// or of overlaps does not fit `counts`; if chunks that lie side by side do not fit (the error
/// names the chunk); if no chunk length explains the lengths under `overlap`.
pub fn merged_shape<S: AsRef<[u64]>>(
    counts: &[u64],
    shapes: &[S],
    overlap: Option<&[u64]>,
) -> Result<Coords> {
    if shapes.len() as u64 != voxels(counts) {
        return Err(Error::argument(format!(
            "{} chunk shapes, a grid of {counts:?} has {}",
            shapes.len(),
            voxels(counts)
        )));
    }
    if let Some(o) = overlap
        && o.len() != counts.len()
    {
        return Err(Error::argument(format!(
            "overlap {o:?} has {} axes, the grid {counts:?} has {}",
            o.len(),
            counts.len()
        )));
    }
    let Some(first) = shapes.first().map(AsRef::as_ref) else {
        return Ok(smallvec::smallvec![0; counts.len()]);
    };
    if first.len() < counts.len() {
        return Err(Error::argument(format!(
            "chunk shape {first:?} has {} axes, the grid {counts:?} has {}",
            first.len(),
            counts.len()
        )));
    }
    let lengths = lengths_along_axes(counts, shapes, first)?;
    let mut merged = Coords::from_slice(first);
    for (axis, lengths) in lengths.iter().enumerate() {
        merged[axis] = match overlap.map_or(0, |o| o[axis]) {
            0 => checked_sum(lengths).ok_or_else(|| {
                Error::argument(format!(
                    "chunk lengths {lengths:?} on axis {axis} add up beyond 64 bits"
                ))
            }),
            overlap => overlapped_size(lengths, overlap).ok_or_else(|| {
                Error::argument(format!(
                    "chunk lengths {lengths:?} on axis {axis} are not those of an axis divided \
                     evenly with overlap {overlap}"
                ))
            }),
        }?;
    }
    Ok(merged)
}

/// The length of each chunk along each axis of the grid; an error where two that lie in the same
/// slice of the grid differ.
fn lengths_along_axes<S: AsRef<[u64]>>(
    counts: &[u64],
    shapes: &[S],
    first: &[u64],
) -> Result<Vec<Vec<u64>>> {
    let mut lengths: Vec<Vec<u64>> = vec![Vec::new(); counts.len()];
    let mut index: Coords = smallvec::smallvec![0; counts.len()];
    for shape in shapes.iter().map(AsRef::as_ref) {
        if shape.len() != first.len() {
            return Err(Error::argument(format!(
                "chunk {index:?} has shape {shape:?}, the first {first:?}: axis counts differ"
            )));
        }
        for (axis, &found) in shape.iter().enumerate() {
            let expected = match lengths.get_mut(axis) {
                None => first[axis],
                Some(known) => {
                    let i = index[axis] as usize;
                    // In C order, the first chunk of each slice comes in the order of the slices.
                    if i == known.len() {
                        known.push(found);
                    }
                    known[i]
                }
            };
            if found != expected {
                return Err(Error::argument(format!(
                    "chunk {index:?} has shape {shape:?}, its neighbours have {expected} voxels \
                     on axis {axis}: the chunks do not form a box"
                )));
            }
        }
        for (slot, &n) in index.iter_mut().zip(counts).rev() {
            *slot += 1;
            if *slot < n {
                break;
            }
            *slot = 0;
        }
    }
    Ok(lengths)
}

fn checked_sum(lengths: &[u64]) -> Option<u64> {
    lengths.iter().try_fold(0u64, |sum, &n| sum.checked_add(n))
}

/// The size of an axis whose chunks have these lengths, each reaching `overlap` into the next.
fn overlapped_size(lengths: &[u64], overlap: u64) -> Option<u64> {
    let &[first, ref rest @ ..] = lengths else { return Some(0) };
    let Some(&second) = rest.first() else { return Some(first) };
    // Where the volume ends before even the first chunk does, only the starts tell their distance.
    [first.checked_sub(overlap), first.checked_sub(second)]
        .into_iter()
        .flatten()
        .find_map(|chunk| size_of_even(chunk, lengths, overlap))
}

/// The size, if an axis divided into chunks of `chunk` voxels has exactly these lengths.
fn size_of_even(chunk: u64, lengths: &[u64], overlap: u64) -> Option<u64> {
    let n = lengths.len() as u64;
    let size = chunk.checked_mul(n - 1)?.checked_add(*lengths.last()?)?;
    if chunk == 0 || size.div_ceil(chunk) != n {
        return None;
    }
    let full = chunk.saturating_add(overlap);
    let fits = (0..n).zip(lengths).all(|(i, &length)| length == full.min(size - i * chunk));
    fits.then_some(size)
}
