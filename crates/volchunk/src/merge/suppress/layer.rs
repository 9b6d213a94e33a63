//! Rows that follow each other on the slowest axis, found by their cells.

use std::{ops::Range, sync::Arc};

use super::{
    Rule,
    cells::Cells,
    order::{Entry, in_raster_order},
    rows::Rows,
};

/// What is known of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Open, and waits for another.
    Waits,
    Kept,
    Dropped,
}

/// Of a neighbourhood without rows; no rule's family.
const NOBODY: u64 = u64::MAX;
/// Of a neighbourhood whose rows are of several families, and of a row that has none.
const SEVERAL: u64 = u64::MAX - 1;

/// What a row is judged by, fetched from the table once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<const D: usize> {
    /// Its coordinates on the axes that make the cells.
    at: [f64; D],
    key: Key,
}

/// Of a row: the rule's strength, as an integer, family and group, and its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) strength: i64,
    family: u64,
    group: u64,
    pub(super) id: u32,
}

impl Key {
    fn may_conflict(&self, other: &Self) -> bool {
        let akin = self.family == other.family && self.family != SEVERAL;
        !akin && self.group == other.group
    }
}

impl<const D: usize> Site<D> {
    /// Of a row at `at`; `family` is the table's, where it tells that.
    pub(super) fn new<R: Rule + ?Sized>(
        rule: &R,
        row: &[f64],
        at: [f64; D],
        family: Option<u64>,
        id: u32,
    ) -> Self {
        let family = family.or_else(|| rule.family(row)).unwrap_or(SEVERAL);
        let strength = total(rule.strength(row));
        Self { at, key: Key { strength, family, group: rule.group(row), id } }
    }
}

/// A row by the number of its layer and its slot there. Layers are counted modulo 2³²; so many are never
/// held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) layer: u32,
    pub(super) slot: u32,
}

/// No row.
pub(super) const NOWHERE: Place = Place { layer: u32::MAX, slot: u32::MAX };

/// Those who wait for a row, as a list: the first of them, and behind each row the next one in the list
/// that it is in.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    first: Place,
    next: Place,
}

/// A stretch of the table along axis 0, longer than the reach: rows in conflict lie in the same layer or
/// in two that follow each other.
///
/// `D` axes make the cells; of more, the first and the last.
pub(super) struct Layer<'a, const D: usize> {
    rows: Arc<Rows<'a>>,
    /// The lowest and the highest site on each axis.
    low: [f64; D],
    high: [f64; D],
    cells: Cells<D>,
    /// The slots of a cell begin where those of the cell before end.
    starts: Vec<u32>,
    /// Of each slot: where the row lies, what it is judged by, what is known of it, who waits.
    sites: Vec<[f64; D]>,
    keys: Vec<Key>,
    state: Vec<State>,
    waiting: Vec<Waiting>,
    /// Of each cell: the family of all rows there and in the neighbours. Empty without families.
    around: Vec<u64>,
    open: usize,
}

/// The axes that make the cells: `D` of `ndim`, the first among them.
pub(super) fn cell_axes<const D: usize>(ndim: usize) -> [usize; D] {
    std::array::from_fn(|a| if a == 0 { 0 } else { ndim - D + a })
}

impl<'a, const D: usize> Layer<'a, D> {
    /// The layer of rows, at least one, which the rule has checked. With `families`, those whose
    /// neighbours are all of their own family are found first.
    pub(super) fn new<R: Rule + ?Sized>(
        rule: &R,
        rows: Arc<Rows<'a>>,
        found: &[Site<D>],
        families: bool,
    ) -> Self {
        let axes = cell_axes::<D>(rule.reach().len());
        let reach = axes.map(|a| rule.reach()[a]);
        let (mut low, mut high) = ([f64::INFINITY; D], [f64::NEG_INFINITY; D]);
        for site in found {
            for a in 0..D {
                (low[a], high[a]) = (low[a].min(site.at[a]), high[a].max(site.at[a]));
            }
        }
        let cells = Cells::new(&reach, &low, &high, found.len());
        // A counting sort by cell.
        let mut starts = vec![0u32; cells.len() + 1];
        let places: Vec<u32> = (found.iter())
            .map(|site| {
                let at = cells.at(&cells.of(&site.at));
                starts[at + 1] += 1;
                at as u32
            })
            .collect();
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut sites = vec![[0.0; D]; found.len()];
        let mut keys = vec![Key { strength: 0, family: SEVERAL, group: 0, id: 0 }; found.len()];
        for (&at, site) in places.iter().zip(found) {
            let slot = next[at as usize] as usize;
            next[at as usize] += 1;
            (sites[slot], keys[slot]) = (site.at, site.key);
        }
        let mut around = Vec::new();
        if families && keys.iter().any(|key| key.family != SEVERAL) {
            around = vec![NOBODY; cells.len()];
            for (&at, site) in places.iter().zip(found) {
                around[at as usize] = together(around[at as usize], site.key.family);
            }
            cells.dilate(&mut around, together);
        }
        let (state, open) = (vec![State::Open; found.len()], found.len());
        let waiting = vec![Waiting { first: NOWHERE, next: NOWHERE }; found.len()];
        Self { rows, low, high, cells, starts, sites, keys, state, waiting, around, open }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many of them are not decided.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn state(&self, slot: usize) -> State {
        self.state[slot]
    }

    /// Puts a row, which may be another layer's, before those who wait for an open one; returns who
    /// was first until now.
    pub(super) fn await_it(&mut self, slot: usize, waiter: Place) -> Place {
        std::mem::replace(&mut self.waiting[slot].first, waiter)
    }

    /// Has an open row wait, before `next`.
    pub(super) fn wait(&mut self, slot: usize, next: Place) {
        self.state[slot] = State::Waits;
        self.waiting[slot].next = next;
    }

    /// The first who waits for a row.
    pub(super) fn first_waiter(&self, slot: usize) -> Place {
        self.waiting[slot].first
    }

    /// Has a row wait no more; returns who waits behind it.
    pub(super) fn wake(&mut self, slot: usize) -> Place {
        self.state[slot] = State::Open;
        self.waiting[slot].next
    }

    /// Decides an open row.
    pub(super) fn decide(&mut self, slot: usize, state: State) {
        self.state[slot] = state;
        self.open -= 1;
    }

    pub(super) fn row(&self, slot: usize) -> &[f64] {
        self.rows.row(self.keys[slot].id)
    }

    /// The lowest coordinate on axis 0.
    pub(super) fn low(&self) -> f64 {
        self.low[0]
    }

    pub(super) fn site(&self, slot: usize) -> &[f64; D] {
        &self.sites[slot]
    }

    pub(super) fn key(&self, slot: usize) -> &Key {
        &self.keys[slot]
    }

    /// Calls `visit` for each slot whose site lies within `reach` of `site`, but for rows of the family or
    /// of another group than `key`'s, until it returns false.
    pub(super) fn near(
        &self,
        site: &[f64; D],
        reach: &[f64; D],
        key: &Key,
        mut visit: impl FnMut(usize) -> bool,
    ) {
        // Sites far outside would have numbers of cells that overflow.
        if (0..D).any(|a| site[a] - self.high[a] > reach[a] || self.low[a] - site[a] > reach[a]) {
            return;
        }
        if !self.around.is_empty() {
            let all = self.around[self.cells.at(&self.cells.of(site))];
            if all == NOBODY || (all == key.family && all != SEVERAL) {
                return;
            }
        }
        let mut more = true;
        self.cells.around(site, |cells| {
            let mut slots = self.slots(cells);
            while more && !slots.is_empty() {
                let some = slots.start..slots.end.min(slots.start + u64::BITS as usize);
                slots.start = some.end;
                // First all that are near, without a branch for each.
                let mut near = 0u64;
                for (i, other) in self.sites[some.clone()].iter().enumerate() {
                    let is_near =
                        (0..D).fold(true, |is, a| is & ((other[a] - site[a]).abs() <= reach[a]));
                    near |= u64::from(is_near) << i;
                }
                while more && near != 0 {
                    let slot = some.start + near.trailing_zeros() as usize;
                    near &= near - 1;
                    more = !self.keys[slot].may_conflict(key) || visit(slot);
                }
            }
        });
    }

    /// The rows that survive, in raster order.
    pub(super) fn kept<R: Rule + ?Sized>(&self, rule: &R) -> Vec<u32> {
        let entries: Vec<Entry> = (self.ids_of(State::Kept))
            .map(|id| Entry::new(self.rows.row(id), rule.reach().len(), id))
            .collect();
        in_raster_order(&self.rows, &entries)
    }

    /// The rows that do not, in any order.
    pub(super) fn dropped(&self) -> impl Iterator<Item = u32> + '_ {
        self.ids_of(State::Dropped)
    }

    fn ids_of(&self, which: State) -> impl Iterator<Item = u32> + '_ {
        let keys = self.keys.iter().zip(&self.state);
        keys.filter(move |(_, state)| **state == which).map(|(key, _)| key.id)
    }

    /// A row by its number.
    pub(super) fn row_of(&self, id: u32) -> &[f64] {
        self.rows.row(id)
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
