//! Whether a queue grows.

/// So many turns, for each place, are looked at together …
pub(super) const FEW_TURNS: usize = 64;

/// … and in so many such lots, one after the other, a queue grows that is said to. A burst, or a machine that stood still,
/// makes it grow in one or two.
pub(super) const LOTS: usize = 3;

/// What the queue was, turn by turn. Nothing here is about time: what comes while no turn is taken counts once.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// How many waited when the lot began.
    waited: usize,
    /// Turns since then.
    turns: usize,
    /// Lots in which the queue grew, one after the other.
    grew: usize,
}

impl Growth {
    /// A turn is taken, and so many still wait. Whether the queue grows: by a third more than is served, at least.
    pub(super) fn turn(&mut self, waiting: usize, places: usize) -> bool {
        if waiting == 0 {
            *self = Self::default();
        }
        self.turns += 1;
        let lot = FEW_TURNS.saturating_mul(places);
        if self.turns >= lot {
            let grew = waiting > self.waited.saturating_add(lot / 3);
            *self = Self { waited: waiting, turns: 0, grew: if grew { self.grew + 1 } else { 0 } };
        }
        self.grew >= LOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said after so many lots, with so many more that come in each than are served.
    fn after(growth: &mut Growth, waiting: &mut usize, lots: usize, more: usize) -> bool {
        let mut grows = false;
        for _ in 0..lots {
            *waiting += more;
            (0..FEW_TURNS).for_each(|_| grows = growth.turn(*waiting, 1));
        }
        grows
    }

    #[test]
    fn it_grows_where_more_come_than_are_served_lot_after_lot() {
        let (mut growth, mut waiting) = (Growth::default(), 0);
        assert!(!after(&mut growth, &mut waiting, LOTS - 1, FEW_TURNS));
        assert!(after(&mut growth, &mut waiting, 1, FEW_TURNS));
        assert!(after(&mut growth, &mut waiting, 10, FEW_TURNS));
        assert!(!after(&mut growth, &mut waiting, 1, 0), "it does not any more");
        assert!(!after(&mut growth, &mut waiting, 10, FEW_TURNS / 4), "slowly");
    }

    #[test]
    fn many_who_came_at_once_are_no_growth() {
        let (mut growth, mut waiting) = (Growth::default(), 0);
        for _ in 0..5 {
            assert!(!after(&mut growth, &mut waiting, 1, 100 * FEW_TURNS));
            assert!(!after(&mut growth, &mut waiting, 1, 0));
        }
    }

    #[test]
    fn an_empty_queue_is_where_it_begins_anew() {
        let (mut growth, mut waiting) = (Growth::default(), 0);
        assert!(after(&mut growth, &mut waiting, LOTS, FEW_TURNS));
        assert!(!growth.turn(0, 1) && !growth.turn(1000, 1));
    }

    #[test]
    fn lots_are_as_large_as_there_are_places() {
        let mut growth = Growth::default();
        assert!((1..10 * FEW_TURNS).all(|turn| !growth.turn(2 * turn, 10)));
    }
}
