//! Pieces that lie side by side, copied in the order of the output's memory.

use crate::{Region, View, ViewMut};

/// Copies `pieces`, which lie side by side on axis `side`, into `out`, which they fill.
///
/// Where the voxels from `side` on lie dense everywhere, `out` is written row by row across the
/// pieces: memory is walked in order, on the side of the source too if the pieces are views of one
/// volume. Otherwise piece by piece.
pub(super) fn join(pieces: &[View<'_>], side: usize, mut out: ViewMut<'_>) {
    let dense = row_bytes(&out.as_view(), side).is_some();
    let rows: Option<Vec<Row<'_>>> = pieces
        .iter()
        .map(|p| Some(Row { data: p.data(), strides: p.strides(), bytes: row_bytes(p, side)? }))
        .collect();
    match rows {
        Some(rows) if dense && pieces.len() > 1 => {
            let axes: Vec<(u64, u64)> =
                out.shape().iter().copied().zip(out.strides().iter().copied()).take(side).collect();
            join_rows(&axes, out.data_mut(), &rows);
        }
        _ => {
            let mut at = 0;
            for piece in pieces {
                let mut part = Region::whole(out.shape());
                if let Some(&n) = piece.shape().get(side) {
                    part = part.with_range(side, at..at + n);
                    at += n;
                }
                out.part_mut(&part).copy_from(piece);
            }
        }
    }
}

/// Bytes of one row, which spans the axes from `side` on, if its voxels lie dense in C order.
fn row_bytes(view: &View<'_>, side: usize) -> Option<usize> {
    let one = Region::from_ranges(
        view.shape().iter().enumerate().map(|(a, &n)| if a < side { 0..n.min(1) } else { 0..n }),
    );
    view.part(&one).as_contiguous().map(<[u8]>::len)
}

/// A piece from its current row on.
struct Row<'a> {
    data: &'a [u8],
    /// Of the axes outside of the rows that are still to be walked first.
    strides: &'a [u64],
    bytes: usize,
}

/// Writes the rows of all `pieces` behind one another, over the axes `(length, stride to)`.
fn join_rows(axes: &[(u64, u64)], to: &mut [u8], pieces: &[Row<'_>]) {
    match *axes {
        [] => join_row(to, pieces, 0),
        [(n, step)] => {
            for i in 0..n {
                join_row(&mut to[(i * step) as usize..], pieces, i);
            }
        }
        [(n, step), ref rest @ ..] => {
            for i in 0..n {
                let pieces: Vec<Row<'_>> = pieces
                    .iter()
                    .map(|p| Row {
                        data: &p.data[(i * p.strides[0]) as usize..],
                        strides: &p.strides[1..],
                        bytes: p.bytes,
                    })
                    .collect();
                join_rows(rest, &mut to[(i * step) as usize..], &pieces);
            }
        }
    }
}

/// Writes row `i` of the innermost axis.
fn join_row(mut to: &mut [u8], pieces: &[Row<'_>], i: u64) {
    for piece in pieces {
        let at = if i == 0 { 0 } else { (i * piece.strides[0]) as usize };
        let (now, rest) = to.split_at_mut(piece.bytes);
        now.copy_from_slice(&piece.data[at..at + piece.bytes]);
        to = rest;
    }
}
