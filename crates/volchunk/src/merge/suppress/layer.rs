//! Rows that follow each other on the slowest axis, found by their cells.

use std::ops::Range;

use super::{Rows, Rule, cells::Cells, raster};

/// What is known of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Kept,
    Dropped,
}

/// Of a neighbourhood without rows; no rule's family.
const NOBODY: u64 = u64::MAX;
/// Of a neighbourhood whose rows are of several families.
const SEVERAL: u64 = u64::MAX - 1;

/// A stretch of the table along axis 0, longer than the reach: rows in conflict lie in the same layer or
/// in two that follow each other.
///
/// `D` axes make the cells; of more, the first and the last.
pub(super) struct Layer<'a, const D: usize> {
    pub(super) rows: Rows<'a>,
    /// From the lowest to the highest coordinate on axis 0.
    pub(super) low: f64,
    pub(super) high: f64,
    cells: Cells<D>,
    /// The slots of a cell begin where those of the cell before end.
    starts: Vec<u32>,
    /// Of each slot: where the row lies, which row it is, what is known of it.
    sites: Vec<[f64; D]>,
    pub(super) ids: Vec<u32>,
    state: Vec<State>,
    /// Of each cell: the family of all rows there and in the neighbours. Empty without families.
    around: Vec<u64>,
    open: usize,
}

/// The axes that make the cells: `D` of `ndim`, the first among them.
pub(super) fn cell_axes<const D: usize>(ndim: usize) -> [usize; D] {
    std::array::from_fn(|a| if a == 0 { 0 } else { ndim - D + a })
}

impl<'a, const D: usize> Layer<'a, D> {
    /// The layer of the rows `ids`, at least one, which the rule has checked.
    pub(super) fn new(rule: &dyn Rule, rows: Rows<'a>, ids: &[u32]) -> Self {
        let ndim = rule.reach().len();
        let axes = cell_axes::<D>(ndim);
        let reach = axes.map(|a| rule.reach()[a]);
        let site = |id: u32| {
            let row = rows.row(id);
            axes.map(|a| row[a])
        };
        let (mut low, mut high) = ([f64::INFINITY; D], [f64::NEG_INFINITY; D]);
        for &id in ids {
            let site = site(id);
            for a in 0..D {
                (low[a], high[a]) = (low[a].min(site[a]), high[a].max(site[a]));
            }
        }
        let cells = Cells::new(&reach, &low, &high, ids.len());
        // A counting sort by cell.
        let mut starts = vec![0u32; cells.len() + 1];
        let places: Vec<u32> = (ids.iter())
            .map(|&id| {
                let at = cells.at(&cells.of(&site(id)));
                starts[at + 1] += 1;
                at as u32
            })
            .collect();
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut sites = vec![[0.0; D]; ids.len()];
        let mut slots = vec![0; ids.len()];
        for (&id, &at) in ids.iter().zip(&places) {
            let slot = next[at as usize] as usize;
            next[at as usize] += 1;
            (sites[slot], slots[slot]) = (site(id), id);
        }
        let mut around = Vec::new();
        if ids.first().is_some_and(|&id| rule.family(rows.row(id)).is_some()) {
            around = vec![NOBODY; cells.len()];
            for (&id, &at) in ids.iter().zip(&places) {
                let family = rule.family(rows.row(id)).unwrap_or(SEVERAL);
                around[at as usize] = together(around[at as usize], family);
            }
            cells.dilate(&mut around, together);
        }
        let state = vec![State::Open; ids.len()];
        let (low, high) = (low[0], high[0]);
        Self { rows, low, high, cells, starts, sites, ids: slots, state, around, open: ids.len() }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// How many of them are not decided.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn state(&self, slot: usize) -> State {
        self.state[slot]
    }

    /// Decides an open row.
    pub(super) fn decide(&mut self, slot: usize, state: State) {
        self.state[slot] = state;
        self.open -= 1;
    }

    pub(super) fn row(&self, slot: usize) -> &[f64] {
        self.rows.row(self.ids[slot])
    }

    pub(super) fn site(&self, slot: usize) -> &[f64; D] {
        &self.sites[slot]
    }

    /// Calls `visit` for each slot whose site lies within `reach` of `site`, until it returns false;
    /// no slot if all are of the `family` given.
    pub(super) fn near(
        &self,
        site: &[f64; D],
        reach: &[f64; D],
        family: Option<u64>,
        mut visit: impl FnMut(usize) -> bool,
    ) {
        if site[0] - self.high > reach[0] || self.low - site[0] > reach[0] {
            return;
        }
        let cell = self.cells.of(site);
        if let Some(&all) = self.around.get(self.cells.at(&cell))
            && (all == NOBODY || Some(all) == family)
        {
            return;
        }
        let mut more = true;
        self.cells.around(&cell, |cells| {
            if !more {
                return;
            }
            let slots = self.slots(cells);
            for (slot, other) in slots.clone().zip(&self.sites[slots]) {
                let apart: [bool; D] =
                    std::array::from_fn(|a| (other[a] - site[a]).abs() > reach[a]);
                if !apart.contains(&true) && !visit(slot) {
                    more = false;
                    return;
                }
            }
        });
    }

    /// The rows that survive, in raster order.
    pub(super) fn kept(&self) -> Vec<u32> {
        let kept = self.ids.iter().zip(&self.state).filter(|(_, state)| **state == State::Kept);
        let mut order: Vec<(i64, i64, u32)> = kept
            .map(|(&id, _)| {
                let row = self.rows.row(id);
                (total(row[0]), total(row.get(1).copied().unwrap_or(0.0)), id)
            })
            .collect();
        order.sort_unstable_by(|a, b| {
            let first = (a.0, a.1).cmp(&(b.0, b.1));
            first.then_with(|| raster(self.rows.row(a.2), self.rows.row(b.2)))
        });
        order.into_iter().map(|(.., id)| id).collect()
    }

    /// The slots of the cells in a range of the table.
    fn slots(&self, cells: Range<usize>) -> Range<usize> {
        self.starts[cells.start] as usize..self.starts[cells.end] as usize
    }
}

/// An integer in the order of `f64::total_cmp`.
fn total(number: f64) -> i64 {
    let bits = number.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The family of all rows of two neighbourhoods.
fn together(a: u64, b: u64) -> u64 {
    if a == NOBODY || a == b {
        b
    } else if b == NOBODY {
        a
    } else {
        SEVERAL
    }
}
