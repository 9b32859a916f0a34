//! The pools of connections that there were when sampling started.

use super::Source;
use crate::sea_orm::pools;

const STATES: [&str; 3] = ["used", "idle", "waiting"];

/// The pools, by their names. Of those with the same name, the first counts.
pub struct Pools(Vec<&'static str>);

impl Pools {
    pub fn new() -> Self {
        let mut names: Vec<_> = pools().iter().map(|pool| pool.name()).collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }
}

impl Source for Pools {
    fn names(&self) -> Vec<String> {
        let series = |pool: &&str| STATES.map(|state| format!("pool.{pool}.{state}"));
        self.0.iter().flat_map(series).collect()
    }

    fn sample(&mut self, _: f64, values: &mut Vec<f32>) {
        let pools = pools();
        for name in &self.0 {
            let pool = pools.iter().find(|pool| pool.name() == *name);
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^24")]
            let counts = pool.map(|pool| pool.connections().map(|count| count as f32));
            values.extend(counts.unwrap_or([f32::NAN; 3]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sea_orm::PoolMetrics;

    #[test]
    fn samples_pools_until_they_are_dropped() {
        let metrics = PoolMetrics::new("a sampled pool", 4);
        metrics.begin_use();
        metrics.set_idle(3);
        let mut pools = Pools(vec!["a sampled pool"]);
        let mut sample = || {
            let mut values = Vec::new();
            pools.sample(1.0, &mut values);
            values
        };
        assert_eq!(sample(), [1.0, 3.0, 0.0]);
        drop(metrics);
        assert!(sample().iter().all(|value| value.is_nan()));
    }
}
