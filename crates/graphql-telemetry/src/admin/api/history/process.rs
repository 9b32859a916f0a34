//! The process: cores that it uses, and its memory. Elsewhere than on Linux, neither is known.

use super::Source;

/// The process's figures.
pub struct Process {
    #[cfg(target_os = "linux")]
    proc: Option<linux::Proc>,
}

impl Process {
    pub fn new() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            proc: linux::Proc::open(),
        }
    }

    fn read(&mut self, seconds: f64) -> [f32; 2] {
        #[cfg(target_os = "linux")]
        if let Some(values) = self.proc.as_mut().and_then(|proc| proc.read(seconds)) {
            return values;
        }
        let _ = seconds;
        [f32::NAN; 2]
    }
}

impl Source for Process {
    fn names(&self) -> Vec<String> {
        vec!["cpu".to_owned(), "memory".to_owned()]
    }

    fn sample(&mut self, seconds: f64, values: &mut Vec<f32>) {
        values.extend(self.read(seconds));
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use procfs::{WithCurrentSystemInfo, process::Process};

    pub struct Proc {
        process: Process,
        /// User and system time at the last sample, in ticks.
        ticks: u64,
    }

    impl Proc {
        pub fn open() -> Option<Self> {
            let process = Process::myself().ok()?;
            let stat = process.stat().ok()?;
            Some(Self { process, ticks: stat.utime + stat.stime })
        }

        /// Cores and bytes.
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
        #[expect(clippy::cast_possible_truncation, reason = "whole pages, exact below 64 GiB")]
        pub fn read(&mut self, seconds: f64) -> Option<[f32; 2]> {
            let stat = self.process.stat().ok()?;
            let ticks = stat.utime + stat.stime;
            let used = ticks.saturating_sub(self.ticks) as f64 / procfs::ticks_per_second() as f64;
            self.ticks = ticks;
            let cores = (used / seconds * 1000.0).round() / 1000.0;
            Some([cores as f32, stat.rss_bytes().get() as f32])
        }
    }
}
