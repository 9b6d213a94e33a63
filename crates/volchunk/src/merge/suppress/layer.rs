//! Rows that follow each other on the slowest axis, found by their cells.

use std::ops::Range;

use super::{Rows, Rule, cells::Cells, raster};

/// What is known of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Open, and others wait for it.
    Awaited,
    Kept,
    Dropped,
}

/// Of a neighbourhood without rows; no rule's family.
const NOBODY: u64 = u64::MAX;
/// Of a neighbourhood whose rows are of several families, and of a row that has none.
const SEVERAL: u64 = u64::MAX - 1;

/// A stretch of the table along axis 0, longer than the reach: rows in conflict lie in the same layer or
/// in two that follow each other.
///
/// `D` axes make the cells; of more, the first and the last.
pub(super) struct Layer<'a, const D: usize> {
    pub(super) rows: Rows<'a>,
    /// The lowest and the highest site on each axis.
    low: [f64; D],
    high: [f64; D],
    cells: Cells<D>,
    /// The slots of a cell begin where those of the cell before end.
    starts: Vec<u32>,
    /// Of each slot: where the row lies, its family, which row it is, what is known of it.
    sites: Vec<[f64; D]>,
    families: Vec<u64>,
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
        // Each row is fetched once: they lie anywhere in memory.
        let found: Vec<([f64; D], u64)> = (ids.iter())
            .map(|&id| {
                let row = rows.row(id);
                (axes.map(|a| row[a]), rule.family(row).unwrap_or(SEVERAL))
            })
            .collect();
        let (mut low, mut high) = ([f64::INFINITY; D], [f64::NEG_INFINITY; D]);
        for (site, _) in &found {
            for a in 0..D {
                (low[a], high[a]) = (low[a].min(site[a]), high[a].max(site[a]));
            }
        }
        let cells = Cells::new(&reach, &low, &high, ids.len());
        // A counting sort by cell.
        let mut starts = vec![0u32; cells.len() + 1];
        let places: Vec<u32> = (found.iter())
            .map(|(site, _)| {
                let at = cells.at(&cells.of(site));
                starts[at + 1] += 1;
                at as u32
            })
            .collect();
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut sites = vec![[0.0; D]; ids.len()];
        let mut families = vec![SEVERAL; ids.len()];
        let mut slots = vec![0; ids.len()];
        for ((&id, &at), &(site, family)) in ids.iter().zip(&places).zip(&found) {
            let slot = next[at as usize] as usize;
            next[at as usize] += 1;
            (sites[slot], families[slot], slots[slot]) = (site, family, id);
        }
        let mut around = Vec::new();
        if families.iter().any(|&family| family != SEVERAL) {
            around = vec![NOBODY; cells.len()];
            for (&at, &(_, family)) in places.iter().zip(&found) {
                around[at as usize] = together(around[at as usize], family);
            }
            cells.dilate(&mut around, together);
        }
        let state = vec![State::Open; ids.len()];
        let open = ids.len();
        Self { rows, low, high, cells, starts, sites, families, ids: slots, state, around, open }
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

    /// Says that others wait for an open row.
    pub(super) fn await_it(&mut self, slot: usize) {
        self.state[slot] = State::Awaited;
    }

    /// Decides an open row.
    pub(super) fn decide(&mut self, slot: usize, state: State) {
        self.state[slot] = state;
        self.open -= 1;
    }

    pub(super) fn row(&self, slot: usize) -> &[f64] {
        self.rows.row(self.ids[slot])
    }

    /// The lowest coordinate on axis 0.
    pub(super) fn low(&self) -> f64 {
        self.low[0]
    }

    pub(super) fn site(&self, slot: usize) -> &[f64; D] {
        &self.sites[slot]
    }

    pub(super) fn family(&self, slot: usize) -> u64 {
        self.families[slot]
    }

    /// Calls `visit` for each slot whose site lies within `reach` of `site`, but for rows of the same
    /// `family`, until it returns false.
    pub(super) fn near(
        &self,
        site: &[f64; D],
        reach: &[f64; D],
        family: u64,
        mut visit: impl FnMut(usize) -> bool,
    ) {
        // Sites far outside would have numbers of cells that overflow.
        if (0..D).any(|a| site[a] - self.high[a] > reach[a] || self.low[a] - site[a] > reach[a]) {
            return;
        }
        let cell = self.cells.of(site);
        if let Some(&all) = self.around.get(self.cells.at(&cell))
            && (all == NOBODY || (all == family && all != SEVERAL))
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
                let mut apart = false;
                for a in 0..D {
                    apart |= (other[a] - site[a]).abs() > reach[a];
                }
                let akin = self.families[slot] == family && family != SEVERAL;
                if !apart && !akin && !visit(slot) {
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
