//! Tables of points, one per chunk, joined into one that knows which chunk found each point.

use crate::{
    Buffer, Dtype, Element, Error, Result, View, ViewMut, dispatch,
    geometry::{Coords, voxels},
};

/// Joins the tables of all chunks and appends each row's chunk index, one column per axis of the
/// grid.
///
/// `counts` is the number of chunks on each axis; `tables` has one entry per chunk in C order (last
/// axis fastest): rows × columns, or None where a chunk has no table, which differs from a table
/// without rows only where no chunk has one. The rows keep the order of the chunks, then their own.
/// None if no chunk has a table: their columns are unknown.
///
/// ```
/// use volchunk::{Buffer, merge_points};
/// let table = Buffer::from_slice(&[2, 1], &[7.5f64, 8.5]);
/// let merged = merge_points(&[1, 2], &[None, Some(table.view())])?.ok_or("no table")?;
/// assert_eq!(merged.shape(), [2, 3]);
/// assert_eq!(merged.as_slice::<f64>(), [7.5, 0.0, 1.0, 8.5, 0.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the chunk, if a table does not
/// have two axes, or differs from the others in its columns or dtype; if there are not as many
/// entries as chunks; if the dtype cannot hold the chunk indices.
pub fn merge_points(counts: &[u64], tables: &[Option<View<'_>>]) -> Result<Option<Buffer>> {
    let Some((rows, columns, dtype)) = merged_table(counts, tables)? else { return Ok(None) };
    let mut merged = Buffer::zeros(&[rows, columns + counts.len() as u64], dtype);
    fill(counts, tables, merged.view_mut());
    Ok(Some(merged))
}

/// As [`merge_points`], into `out`, a C-order table; nothing is written if no chunk has a table.
///
/// # Errors
/// As [`merge_points`], and if `out` has another shape or dtype than the merged table, or gaps
/// between its rows.
pub fn merge_points_into(
    counts: &[u64],
    tables: &[Option<View<'_>>],
    mut out: ViewMut<'_>,
) -> Result<()> {
    let Some((rows, columns, dtype)) = merged_table(counts, tables)? else { return Ok(()) };
    let shape = [rows, columns + counts.len() as u64];
    if out.shape() != shape || out.dtype() != dtype || out.as_contiguous_mut().is_none() {
        return Err(Error::argument(format!(
            "the output is {} of shape {:?} with strides {:?}, the merged table {dtype} of shape \
             {shape:?} in C order",
            out.dtype(),
            out.shape(),
            out.as_view().strides()
        )));
    }
    fill(counts, tables, out);
    Ok(())
}

/// Rows, columns before the index, and dtype of all tables together; None if there is none.
fn merged_table(counts: &[u64], tables: &[Option<View<'_>>]) -> Result<Option<(u64, u64, Dtype)>> {
    if tables.len() as u64 != voxels(counts) {
        return Err(Error::argument(format!(
            "{} tables, a grid of {counts:?} has {} chunks",
            tables.len(),
            voxels(counts)
        )));
    }
    let mut merged: Option<(u64, u64, Dtype)> = None;
    for (index, table) in indices(counts).zip(tables) {
        let Some(table) = table else { continue };
        let &[rows, columns] = table.shape() else {
            return Err(Error::argument(format!(
                "the table of chunk {index:?} has shape {:?}, expected rows and columns",
                table.shape()
            )));
        };
        let (total, expected, dtype) = merged.unwrap_or((0, columns, table.dtype()));
        if columns != expected || table.dtype() != dtype {
            return Err(Error::argument(format!(
                "the table of chunk {index:?} has {columns} columns of {}, those before it \
                 {expected} of {dtype}",
                table.dtype()
            )));
        }
        merged = Some((total.saturating_add(rows), columns, dtype));
    }
    if let Some((.., dtype)) = merged {
        let highest = counts.iter().map(|n| n.saturating_sub(1)).max().unwrap_or(0);
        let held = dispatch!(dtype, T => T::from_i128(highest.into()).to_f64());
        if held != highest as f64 {
            return Err(Error::argument(format!(
                "{dtype} columns cannot hold the chunk index {highest}"
            )));
        }
    }
    Ok(merged)
}

/// Every index of the grid, in C order.
fn indices(counts: &[u64]) -> impl Iterator<Item = Coords> {
    let mut index: Coords = smallvec::smallvec![0; counts.len()];
    (0..voxels(counts)).map(move |_| {
        let now = index.clone();
        for (slot, &n) in index.iter_mut().zip(counts).rev() {
            *slot += 1;
            if *slot < n {
                break;
            }
            *slot = 0;
        }
        now
    })
}

/// Writes the merged table, whose shape was checked, row by row.
fn fill(counts: &[u64], tables: &[Option<View<'_>>], mut out: ViewMut<'_>) {
    let dtype = out.dtype();
    let row_bytes = out.shape()[1] as usize * dtype.size();
    let Some(mut rest) = out.as_contiguous_mut() else { return };
    if row_bytes == 0 {
        return;
    }
    for (index, table) in indices(counts).zip(tables) {
        let Some(table) = table else { continue };
        let suffix: Vec<u8> = dispatch!(dtype, T => {
            let values: Vec<T> = index.iter().map(|&i| T::from_i128(i.into())).collect();
            bytemuck::cast_slice(&values).to_vec()
        });
        let (rows, own) = (table.shape()[0] as usize, row_bytes - suffix.len());
        let (part, after) = rest.split_at_mut(rows * row_bytes);
        rest = after;
        match table.as_contiguous() {
            Some(bytes) => {
                for (row, to) in part.chunks_exact_mut(row_bytes).enumerate() {
                    let (head, tail) = to.split_at_mut(own);
                    head.copy_from_slice(&bytes[row * own..(row + 1) * own]);
                    tail.copy_from_slice(&suffix);
                }
            }
            None => {
                let strides = [row_bytes as u64, dtype.size() as u64];
                ViewMut::strided(table.shape(), &strides, dtype, part).copy_from(table);
                for to in part.chunks_exact_mut(row_bytes) {
                    to[own..].copy_from_slice(&suffix);
                }
            }
        }
    }
}
