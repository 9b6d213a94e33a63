//! Which rows survive, decided as soon as the stronger rows around them are.

use std::{cmp::Ordering, collections::HashMap, ops::Range};

use super::{
    Rule,
    layer::{Layer, State, cell_axes},
};

/// A row by its layer, counted from the table's first, and its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    layer: u64,
    slot: u32,
}

/// The greedy choice over layers, and which rows wait for which.
///
/// A row that is in conflict with a stronger one, itself undecided, waits for the strongest such: one at
/// a time, so that crowds cost no memory. Once that one is decided, its waiters are looked at again.
pub(super) struct Resolver<'r, const D: usize> {
    rule: &'r dyn Rule,
    reach: [f64; D],
    waiting: HashMap<Place, Vec<Place>>,
}

impl<'r, const D: usize> Resolver<'r, D> {
    pub(super) fn new(rule: &'r dyn Rule) -> Self {
        let axes = cell_axes::<D>(rule.reach().len());
        Self { rule, reach: axes.map(|a| rule.reach()[a]), waiting: HashMap::new() }
    }

    /// Takes over who waits in layers that another resolver worked on.
    pub(super) fn join(&mut self, other: Self) {
        self.waiting.extend(other.waiting);
    }

    /// Looks at the rows of the layers `which`, for the first time. The neighbours of these layers
    /// are among `layers`, of which the first is number `base` of the table.
    pub(super) fn resolve(&mut self, layers: &mut [Layer<'_, D>], base: u64, which: Range<usize>) {
        let mut look = Vec::new();
        for i in which {
            for slot in 0..layers[i].len() {
                look.push(Place { layer: base + i as u64, slot: slot as u32 });
                while let Some(place) = look.pop() {
                    let (at, slot) = ((place.layer - base) as usize, place.slot as usize);
                    let before = layers[at].state(slot);
                    if matches!(before, State::Kept | State::Dropped) {
                        continue;
                    }
                    match self.judge(layers, base, place) {
                        Judgement::Waits(other) => {
                            self.waiting.entry(other).or_default().push(place);
                            layers[(other.layer - base) as usize].await_it(other.slot as usize);
                        }
                        Judgement::Is(state) => {
                            layers[at].decide(slot, state);
                            if before == State::Awaited {
                                look.extend(self.waiting.remove(&place).unwrap_or_default());
                            }
                        }
                    }
                }
            }
        }
    }

    /// What the rows around one say of it.
    fn judge(&self, layers: &[Layer<'_, D>], base: u64, place: Place) -> Judgement {
        let (own, slot) = ((place.layer - base) as usize, place.slot as usize);
        let (row, site) = (layers[own].row(slot), layers[own].site(slot));
        let family = layers[own].family(slot);
        let mut dropped = false;
        let mut waits: Option<(Place, &[f64])> = None;
        for (at, layer) in layers.iter().enumerate().take(own + 2).skip(own.saturating_sub(1)) {
            layer.near(site, &self.reach, family, |other| {
                let other_row = layer.row(other);
                if (at, other) == (own, slot)
                    || layer.state(other) == State::Dropped
                    || !self.rule.conflict(row, other_row)
                {
                    return true;
                }
                let other_place = Place { layer: base + at as u64, slot: other as u32 };
                if !self.is_stronger((other_place, other_row), (place, row)) {
                    return true;
                }
                dropped = layer.state(other) == State::Kept;
                let other = (other_place, other_row);
                if waits.is_none_or(|strongest| self.is_stronger(other, strongest)) {
                    waits = Some(other);
                }
                !dropped
            });
            if dropped {
                return Judgement::Is(State::Dropped);
            }
        }
        waits.map_or(Judgement::Is(State::Kept), |(other, _)| Judgement::Waits(other))
    }

    /// Of rows that are the same in all columns, either may be the stronger.
    fn is_stronger(&self, a: (Place, &[f64]), b: (Place, &[f64])) -> bool {
        match self.rule.order(a.1, b.1) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => (a.0.layer, a.0.slot) < (b.0.layer, b.0.slot),
        }
    }
}

enum Judgement {
    Is(State),
    Waits(Place),
}
