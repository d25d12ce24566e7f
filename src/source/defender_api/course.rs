//! Where a round has come to. Pure: it asks nobody.

use crate::source::rest::ticks::Ticks;

/// The course of a round through a list.
#[derive(Clone, Debug)]
pub struct Course {
    /// Asked for is what changed at this time or later.
    pub from: Ticks,
    /// How many of those are passed over: for records that bear one time, and for one that cannot be had.
    pub skip: usize,
    /// A wider time is looked at.
    pub rescanning: bool,
    /// When it was begun.
    pub begun: Ticks,
    /// Everything was answered: what a part of the service did not answer may hold something earlier.
    pub whole: bool,
    /// New records so far.
    pub n_new: u64,
    /// Failures in a row at one place.
    pub n_failures: u32,
    latest: Ticks,
    /// Records at the latest time that were passed.
    n_at_latest: usize,
    /// Records passed since the list was asked for.
    n_passed: usize,
    /// The time of the record before.
    before: Option<Ticks>,
    order: Order,
    /// Times that a chain of pages was begun again from one place.
    n_restarts: usize,
    failed_at: Option<(Ticks, usize)>,
}

/// What is known of the order of a list. Services ignore the order that they are asked for, and do not say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Asked for; one time only has been seen.
    Hoped,
    /// A later time has come behind an earlier one, and never the other way.
    Proven,
    Absent,
}

/// How to go on behind a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is no more.
    End,
    /// By asking for the list anew.
    List,
    /// By the link to the next page.
    Link,
    /// The rest of one instant cannot be had: behind it.
    BehindInstant,
    /// There is more in no order than can be asked for.
    Lost,
}

impl Course {
    /// At its beginning; `sorts` when the service was asked to sort.
    #[must_use]
    pub fn new(from: Ticks, begun: Ticks, sorts: bool, rescanning: bool) -> Self {
        Self {
            from,
            skip: 0,
            rescanning,
            begun,
            whole: true,
            n_new: 0,
            n_failures: 0,
            latest: from,
            n_at_latest: 0,
            n_passed: 0,
            before: None,
            order: if sorts { Order::Hoped } else { Order::Absent },
            n_restarts: 0,
            failed_at: None,
        }
    }

    /// The latest time met.
    #[must_use]
    pub fn latest(&self) -> Ticks {
        self.latest
    }

    /// Takes in the times of a page, in its order; those that are not known are left out. The page must be stored.
    pub fn pass(&mut self, times: impl IntoIterator<Item = Option<Ticks>>) {
        for time in times {
            self.n_passed += 1;
            let Some(time) = time else { continue };
            self.order = match self.before {
                Some(before) if time < before => Order::Absent,
                Some(before) if time > before && self.order == Order::Hoped => Order::Proven,
                _ => self.order,
            };
            self.before = Some(time);
            if time > self.latest {
                (self.latest, self.n_at_latest) = (time, 1);
            } else if time == self.latest {
                self.n_at_latest += 1;
            }
        }
    }

    /// How to go on behind a page of so many records, and goes there.
    ///
    /// By time rather than by link, where the order is known: a list that changes while it is read moves under its links.
    pub fn turn(&mut self, n_records: usize, page_size: usize, has_link: bool, most_skipped: usize) -> Next {
        if !has_link && n_records < page_size {
            return Next::End;
        }
        if n_records > 0 && self.order == Order::Proven && self.latest > self.from {
            self.list(self.latest, 0);
            return Next::List;
        }
        // Behind an empty page there is no place to ask for.
        if has_link && (self.n_restarts < MOST_RESTARTS || n_records == 0) {
            return Next::Link;
        }
        if self.skip + n_records <= most_skipped {
            self.list(self.from, self.skip + n_records);
            return Next::List;
        }
        if self.order == Order::Hoped && self.latest > self.from {
            // All bear one time; what lies before it would have come first.
            self.list(self.latest, 0);
            return Next::List;
        }
        if self.latest == self.from {
            self.list(Ticks(self.from.0 + 1), 0);
            return Next::BehindInstant;
        }
        self.whole = false;
        Next::Lost
    }

    /// Notes that the service has failed here.
    pub fn fail(&mut self) {
        let place = self.place();
        self.n_failures = if self.failed_at == Some(place) { self.n_failures + 1 } else { 1 };
        self.failed_at = Some(place);
    }

    /// Whether a chain of pages that has broken may be begun again. Links that break time after time are followed no
    /// more: what is behind them is asked for by its place.
    pub fn may_restart(&mut self) -> bool {
        self.n_restarts += 1;
        self.n_restarts <= MOST_RESTARTS
    }

    /// Asks anew from where the pages have come, the records of that instant included; from the beginning of the list
    /// where they come in no order.
    pub fn begin_again(&mut self) {
        if self.order == Order::Proven && self.latest > self.from {
            self.list(self.latest, 0);
        } else {
            self.list(self.from, self.skip);
        }
    }

    /// Asks anew from the very record that could not be had, so far as the service lets anybody skip. Returns how many
    /// come before it then.
    pub fn go_to_failure(&mut self, most_skipped: usize) -> usize {
        let (from, skip) = self.place();
        if skip <= most_skipped {
            self.list(from, skip);
            return 0;
        }
        self.begin_again();
        skip
    }

    /// Passes over one record at the place where the list begins.
    pub fn pass_over(&mut self) {
        self.list(self.from, self.skip + 1);
    }

    /// The time from which, and the how-manieth, the next record is.
    fn place(&self) -> (Ticks, usize) {
        match self.order {
            Order::Proven => (self.latest, self.n_at_latest),
            Order::Hoped | Order::Absent => (self.from, self.skip + self.n_passed),
        }
    }

    fn list(&mut self, from: Ticks, skip: usize) {
        if from > self.from {
            self.n_restarts = 0;
        }
        (self.from, self.skip, self.n_passed, self.before) = (from, skip, 0, None);
        self.latest = self.latest.max(from);
        if self.latest == from {
            self.n_at_latest = skip;
        }
    }
}

/// So often a broken chain is begun again from one place.
const MOST_RESTARTS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn course(sorts: bool) -> Course {
        Course::new(Ticks(10), Ticks(99), sorts, false)
    }

    fn passed(sorts: bool, times: &[i64]) -> Course {
        let mut course = course(sorts);
        course.pass(times.iter().map(|time| Some(Ticks(*time))));
        course
    }

    #[test]
    fn a_page_is_followed_by_time_by_link_or_by_place() {
        let check = |sorts, times: &[i64], page_size, has_link, expected, at: (i64, usize)| {
            let mut course = passed(sorts, times);
            assert_eq!(course.turn(times.len(), page_size, has_link, 4), expected, "{times:?}");
            assert_eq!((course.from, course.skip), (Ticks(at.0), at.1), "{times:?}");
        };
        check(true, &[11, 12], 2, true, Next::List, (12, 0));
        check(true, &[11, 12], 2, false, Next::List, (12, 0));
        check(true, &[11, 12], 3, false, Next::End, (10, 0));
        check(true, &[], 3, false, Next::End, (10, 0));
        check(true, &[], 3, true, Next::Link, (10, 0));
        // One time only: it is not known whether later or earlier ones follow.
        check(true, &[12, 12], 2, true, Next::Link, (10, 0));
        check(true, &[12], 1, false, Next::List, (10, 1));
        check(true, &[13, 12], 2, true, Next::Link, (10, 0));
        check(true, &[13, 12], 2, false, Next::List, (10, 2));
        check(false, &[11, 12], 2, true, Next::Link, (10, 0));
        check(false, &[11, 12], 2, false, Next::List, (10, 2));
        // More than can be skipped: of one instant, and in no order.
        check(false, &[10; 5], 5, false, Next::BehindInstant, (11, 0));
        let mut course = passed(true, &[12, 12]);
        assert!((0..MOST_RESTARTS).all(|_| course.may_restart()) && !course.may_restart());
        assert_eq!(course.turn(2, 2, true, 4), Next::List);
        assert_eq!((course.from, course.skip), (Ticks(10), 2));
        assert_eq!(course.turn(0, 2, true, 4), Next::Link);
        check(true, &[12; 5], 5, false, Next::List, (12, 0));
        check(false, &[10, 11, 10, 11, 12], 5, false, Next::Lost, (10, 0));
    }

    #[test]
    fn the_record_that_cannot_be_had_is_found_behind_those_of_its_instant() {
        let mut course = passed(true, &[11, 12, 12]);
        course.fail();
        // What was read of the instant is asked for once more, and it fails at the same place.
        course.begin_again();
        assert_eq!((course.from, course.skip, course.n_failures), (Ticks(12), 0, 1));
        course.pass([Some(Ticks(12)), Some(Ticks(12))]);
        course.fail();
        assert_eq!(course.n_failures, 2);
        assert_eq!(course.go_to_failure(500), 0);
        assert_eq!((course.from, course.skip), (Ticks(12), 2));
        course.pass_over();
        assert_eq!((course.from, course.skip), (Ticks(12), 3));
        course.pass([Some(Ticks(13))]);
        course.fail();
        assert_eq!(course.n_failures, 1);
    }

    #[test]
    fn in_no_order_the_place_is_a_number() {
        let mut course = passed(false, &[15, 12, 14]);
        course.fail();
        course.begin_again();
        assert_eq!((course.from, course.skip), (Ticks(10), 0));
        course.pass([15, 12, 14].map(|time| Some(Ticks(time))));
        course.fail();
        let mut deep = course.clone();
        assert_eq!((deep.go_to_failure(2), deep.from, deep.skip), (3, Ticks(10), 0));
        assert_eq!(course.go_to_failure(500), 0);
        assert_eq!((course.from, course.skip, course.n_failures), (Ticks(10), 3, 2));
        assert_eq!(course.latest(), Ticks(15));
    }
}
