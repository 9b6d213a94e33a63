//! Which rows survive, decided as soon as the stronger rows around them are.

use std::{cmp::Ordering, ops::Range};

use super::{
    Rule,
    layer::{Layer, NOWHERE, Place, State, cell_axes},
};

/// The greedy choice over layers.
///
/// A row that is in conflict with a stronger one, itself undecided, waits for the strongest such: one at
/// a time, so that crowds cost no memory. Once that one is decided, its waiters are looked at again.
pub(super) struct Resolver<'r, R: ?Sized, const D: usize> {
    rule: &'r R,
    reach: [f64; D],
    /// Whether rows that may be in conflict, by what their layers know, are.
    is_told: bool,
}

impl<'r, R: Rule + ?Sized, const D: usize> Resolver<'r, R, D> {
    pub(super) fn new(rule: &'r R) -> Self {
        let ndim = rule.reach().len();
        let reach = cell_axes::<D>(ndim).map(|a| rule.reach()[a]);
        Self { rule, reach, is_told: ndim == D && rule.is_told_by_place() }
    }

    /// Looks at the rows of the layers `which`, for the first time. The neighbours of these layers
    /// are among `layers`, of which the first is number `base` of the table.
    pub(super) fn resolve(&self, layers: &mut [Layer<'_, D>], base: u32, which: Range<usize>) {
        let of = |layer: u32| layer.wrapping_sub(base) as usize;
        let mut look = Vec::new();
        for i in which {
            for slot in 0..layers[i].len() {
                look.push(Place { layer: base.wrapping_add(i as u32), slot: slot as u32 });
                while let Some(place) = look.pop() {
                    let (at, slot) = (of(place.layer), place.slot as usize);
                    if layers[at].state(slot) != State::Open {
                        continue;
                    }
                    match self.judge(layers, at, slot) {
                        Judgement::Waits(other, other_slot) => {
                            let next = layers[other].await_it(other_slot, place);
                            layers[at].wait(slot, next);
                        }
                        Judgement::Is(state) => {
                            layers[at].decide(slot, state);
                            let mut waiter = layers[at].first_waiter(slot);
                            while waiter != NOWHERE {
                                look.push(waiter);
                                waiter = layers[of(waiter.layer)].wake(waiter.slot as usize);
                            }
                        }
                    }
                }
            }
        }
    }

    /// What the rows around one say of it.
    fn judge(&self, layers: &[Layer<'_, D>], own: usize, slot: usize) -> Judgement {
        let (site, key) = (layers[own].site(slot), layers[own].key(slot));
        let mut dropped = false;
        let mut waits: Option<(usize, usize)> = None;
        for (at, layer) in layers.iter().enumerate().take(own + 2).skip(own.saturating_sub(1)) {
            layer.near(site, &self.reach, key, |other| {
                let is_conflict = layer.state(other) != State::Dropped
                    && (at, other) != (own, slot)
                    && (self.is_told
                        || self.rule.conflict(layers[own].row(slot), layer.row(other)));
                if !is_conflict || !self.is_stronger(layers, (at, other), (own, slot)) {
                    return true;
                }
                dropped = layer.state(other) == State::Kept;
                if waits.is_none_or(|most| self.is_stronger(layers, (at, other), most)) {
                    waits = Some((at, other));
                }
                !dropped
            });
            if dropped {
                return Judgement::Is(State::Dropped);
            }
        }
        waits.map_or(Judgement::Is(State::Kept), |(at, other)| Judgement::Waits(at, other))
    }

    /// Whether one row, by its layer and its slot, is stronger than another. Of rows that are the same,
    /// the first is.
    fn is_stronger(&self, layers: &[Layer<'_, D>], a: (usize, usize), b: (usize, usize)) -> bool {
        let [a_key, b_key] = [a, b].map(|(at, slot)| layers[at].key(slot));
        match a_key.strength.cmp(&b_key.strength) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => match self.rule.order(layers[a.0].row(a.1), layers[b.0].row(b.1)) {
                Ordering::Less => true,
                Ordering::Greater => false,
                // They lie in one layer.
                Ordering::Equal => a_key.id < b_key.id,
            },
        }
    }
}

enum Judgement {
    Is(State),
    /// For a row, by its layer and its slot.
    Waits(usize, usize),
}
