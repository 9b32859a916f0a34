//! What was counted since the last sample.

use super::Source;
use crate::totals::{ERRORS, OPERATIONS, SLOW_POLLS, Total};

/// The totals of the process, as differences.
pub struct Counts([(&'static str, &'static Total, u64); 3]);

impl Counts {
    pub fn new() -> Self {
        let totals =
            [("slow_polls", &SLOW_POLLS), ("operations", &OPERATIONS), ("errors", &ERRORS)];
        Self(totals.map(|(name, total)| (name, total, total.get())))
    }
}

impl Source for Counts {
    fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, ..)| (*name).to_owned()).collect()
    }

    fn sample(&mut self, _: f64, values: &mut Vec<f32>) {
        for (_, total, last) in &mut self.0 {
            let now = total.get();
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^24 a second")]
            values.push((now - *last) as f32);
            *last = now;
        }
    }
}
