//! How often a measured value was at most so large.
//!
//! Owns [`Histogram`]. That of metrics-util was looked at: its bounds are checked and copied whenever one is made, and
//! a thousand tables have a few each.
//! - I1: counts are cumulative, as Prometheus wants them: each is at least the one before it and at most all.

/// Observations, counted by the bounds that they stay within.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    within: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    /// `bounds` rise.
    pub fn new(bounds: &'static [f64]) -> Self {
        Histogram { bounds, within: vec![0; bounds.len()], count: 0, sum: 0.0 }
    }

    pub fn observe(&mut self, value: f64) {
        for (bound, within) in self.bounds.iter().zip(&mut self.within) {
            *within += u64::from(value <= *bound);
        }
        self.count += 1;
        self.sum += value;
    }

    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds.iter().copied().zip(self.within.iter().copied())
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_a_value_counts_in_every_bucket_that_it_stays_within() {
        let mut histogram = Histogram::new(&[1.0, 5.0]);
        [0.5, 1.0, 4.0, 9.0].into_iter().for_each(|value| histogram.observe(value));
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(1.0, 2), (5.0, 3)]);
        assert_eq!((histogram.count(), histogram.sum()), (4, 14.5));
    }
}
