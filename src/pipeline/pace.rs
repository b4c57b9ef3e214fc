//! When a topic is looked at, and when an epoch is due.
//!
//! Owns [`Pace`]; the time comes as an argument.
//! - I1: an epoch is due one interval after the last look that found nothing: a row of a topic that is looked at seldom
//!   is committed as soon as one of a busy topic.
//! - I2: a topic is looked at after pauses that double while it stays quiet, up to [`PAUSE_MAX`] while it is read, and
//!   up to the interval, within [`REST_PAUSE_MIN`] and [`REST_PAUSE_MAX`], while it rests.
//! - I3: commits that take long stretch the interval, so that a table waits at least as long as it commits: when the
//!   store is slow, or many tables are due at once, there are fewer and larger commits, not a queue of them.
//! - I5: commits to a table whose upkeep is behind come seldomer, and make fewer files: [`BEHIND`] times the interval.
//! - I4: the first epochs of jobs that begin together are due one after the other, evenly over one interval: a thousand
//!   tables that begin with a service do not commit all at once, wait for each other, and stretch what comes next (I3).

use std::time::Duration;

use tokio::time::Instant;

/// How often a quiet topic is looked at: each look is a few `stat` calls, or looks into queues, which add up over a
/// thousand tables.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A topic that was quiet for so long rests: nothing is fetched of it, and its end is asked for now and then.
const REST_AFTER: Duration = Duration::from_secs(5);
const REST_PAUSE_MIN: Duration = Duration::from_secs(1);
const REST_PAUSE_MAX: Duration = Duration::from_secs(10);

/// The interval is at least so many times as long as the last commit took (I3), and stretched to so much at most: what
/// a commit took that had to wait for a store says nothing about the next one.
const COMMITS_PER_INTERVAL: u32 = 2;
const STRETCHED_MAX: Duration = Duration::from_secs(60);

/// I5, up to the same limit.
const BEHIND: u32 = 4;

/// The golden ratio: its multiples, without what is whole, are even at every length (I4).
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The pace of one job.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    /// The interval of this epoch (I3, I4).
    stretched: Duration,
    pause: Duration,
    /// The last look that found something, or the epoch's beginning.
    found_at: Instant,
    /// The last look that found nothing, or the epoch's beginning (I1).
    found_nothing_at: Instant,
    due: Option<Instant>,
    staged_at: Option<Instant>,
}

impl Pace {
    pub fn new(interval: Duration, now: Instant) -> Self {
        Pace {
            interval,
            stretched: interval,
            pause: PAUSE_MIN,
            found_at: now,
            found_nothing_at: now,
            due: None,
            staged_at: None,
        }
    }

    /// That of a job which begins beside others, so many of them before it (I4).
    pub fn in_turn(interval: Duration, jobs_before: u32, now: Instant) -> Self {
        let earlier = (f64::from(jobs_before) * GOLDEN).fract();
        Pace { stretched: interval.mul_f64(1.0 - earlier), ..Pace::new(interval, now) }
    }

    /// An epoch begins; the one before it, if it was staged, is committed by now (I3, I5).
    pub fn begin(&mut self, now: Instant, upkeep_is_behind: bool) {
        if let Some(staged_at) = self.staged_at.take() {
            let long = (now - staged_at) * COMMITS_PER_INTERVAL;
            let longer = if upkeep_is_behind { self.interval * BEHIND } else { self.interval };
            self.stretched = self.interval.max(long.max(longer).min(STRETCHED_MAX));
        }
        *self = Pace { stretched: self.stretched, ..Pace::new(self.interval, now) };
    }

    /// An epoch is whole, and goes to be committed.
    pub fn staged(&mut self, now: Instant) {
        self.staged_at = Some(now);
    }

    /// A look found something.
    pub fn found(&mut self, now: Instant) {
        self.due.get_or_insert(self.found_nothing_at + self.stretched);
        self.found_at = now;
        self.pause = PAUSE_MIN;
    }

    /// A look that began then found nothing. Answers when the next one is to be, counted from now (I2).
    pub fn found_nothing(&mut self, looked_at: Instant, now: Instant, rests: bool) -> Instant {
        self.found_nothing_at = looked_at;
        let next = now + self.pause;
        let pause_max = match rests {
            true => self.interval.clamp(REST_PAUSE_MIN, REST_PAUSE_MAX),
            false => self.interval.clamp(PAUSE_MIN, PAUSE_MAX),
        };
        self.pause = (self.pause * 2).min(pause_max);
        // What is due and has not come yet is no reason to look at once.
        self.due.filter(|due| *due > now).map_or(next, |due| due.min(next))
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now >= due)
    }

    /// Was there nothing for so long that it may rest?
    pub fn is_quiet(&self, now: Instant) -> bool {
        now - self.found_at >= REST_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn i1_an_epoch_is_due_an_interval_after_the_last_look_that_found_nothing() {
        let began = Instant::now();
        let mut pace = Pace::new(10 * SECOND, began);
        pace.found_nothing(began + 3 * SECOND, began + 4 * SECOND, true);
        assert!(!pace.is_due(began + 100 * SECOND), "nothing is never due");
        pace.found(began + 9 * SECOND);
        pace.found_nothing(began + 10 * SECOND, began + 10 * SECOND, false);
        pace.found(began + 11 * SECOND);
        assert!(!pace.is_due(began + 12 * SECOND));
        assert!(pace.is_due(began + 13 * SECOND));
        pace.begin(began + 14 * SECOND, false);
        assert!(!pace.is_due(began + 100 * SECOND));
    }

    #[test]
    fn i2_pauses_double_up_to_what_the_topic_s_state_allows() {
        let now = Instant::now();
        for (interval, rests, longest) in [
            (10, false, PAUSE_MAX),
            (0, false, PAUSE_MIN),
            (10, true, 10 * SECOND),
            (0, true, SECOND),
            (99, true, 10 * SECOND),
        ] {
            let mut pace = Pace::new(interval * SECOND, now);
            let pauses: Vec<_> = (0..12).map(|_| pace.found_nothing(now, now, rests) - now).collect();
            assert_eq!((pauses.first(), pauses.last()), (Some(&PAUSE_MIN), Some(&longest)), "{interval} {rests}");
            pace.found(now);
            pace.begin(now, false);
            assert_eq!(pace.found_nothing(now, now, rests) - now, PAUSE_MIN);
        }
    }

    #[test]
    fn i2_a_pause_ends_where_the_epoch_is_due() {
        let now = Instant::now();
        let mut pace = Pace::new(SECOND, now);
        pace.found(now);
        let looks: Vec<_> = (0..8).map(|_| pace.found_nothing(now, now + SECOND - PAUSE_MIN * 3, false)).collect();
        assert_eq!(looks.last(), Some(&(now + SECOND)));
    }

    #[test]
    fn i3_long_commits_stretch_the_interval_within_bounds() {
        let now = Instant::now();
        let mut pace = Pace::new(SECOND, now);
        let mut interval_after = |took: Duration| {
            pace.staged(now);
            pace.begin(now + took, false);
            pace.stretched
        };
        assert_eq!(interval_after(SECOND / 10), SECOND);
        assert_eq!(interval_after(5 * SECOND), 10 * SECOND);
        assert_eq!(interval_after(500 * SECOND), STRETCHED_MAX);
        assert_eq!(interval_after(SECOND / 2), SECOND);
        let mut long = Pace::new(600 * SECOND, now);
        long.staged(now);
        long.begin(now + 500 * SECOND, false);
        assert_eq!(long.stretched, 600 * SECOND, "never shorter than it was declared");
    }

    #[test]
    fn i5_commits_wait_longer_while_upkeep_is_behind() {
        let now = Instant::now();
        for (seconds, longer) in [(10, 40), (30, 60), (90, 90)] {
            let mut pace = Pace::new(seconds * SECOND, now);
            for (is_behind, expected) in [(false, seconds), (true, longer), (false, seconds)] {
                pace.staged(now);
                pace.begin(now, is_behind);
                assert_eq!(pace.stretched, expected * SECOND);
            }
        }
    }

    #[test]
    fn i4_jobs_that_begin_together_are_due_one_after_the_other() {
        let began = Instant::now();
        let due_in = |jobs_before| {
            let mut pace = Pace::in_turn(10 * SECOND, jobs_before, began);
            pace.begin(began, false);
            pace.found(began);
            pace.due.unwrap() - began
        };
        assert_eq!(due_in(0), 10 * SECOND, "one alone keeps its interval");
        let mut tenths = [0; 10];
        (0..1000).for_each(|jobs_before| tenths[(due_in(jobs_before).as_secs_f64().ceil() - 1.0) as usize] += 1);
        assert!(tenths.iter().all(|count| (98..=102).contains(count)), "{tenths:?}");
        let mut pace = Pace::in_turn(10 * SECOND, 1, began);
        pace.staged(began);
        pace.begin(began, false);
        assert_eq!(pace.stretched, 10 * SECOND, "from its first commit on the interval is whole");
    }
}
