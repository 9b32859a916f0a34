//! The process, as the operating system sees it.
//!
//! Not by `metrics-process` (2.4), which has Prometheus' names for these metrics and not OpenTelemetry's.

use std::time::Instant;

use metrics::Gauge;

use crate::catalog::PROCESS_UPTIME;

/// The process's figures.
pub struct Sampler {
    started: Instant,
    uptime: Gauge,
    #[cfg(target_os = "linux")]
    proc: linux::Sampler,
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            uptime: PROCESS_UPTIME.gauge(Vec::new()),
            #[cfg(target_os = "linux")]
            proc: linux::Sampler::default(),
        }
    }
}

impl Sampler {
    /// Records them as they are now; on other systems than Linux, only the uptime.
    pub fn sample(&self) {
        self.uptime.set(self.started.elapsed().as_secs_f64());
        #[cfg(target_os = "linux")]
        self.proc.sample();
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::age;

/// What `/proc` has.
#[cfg(target_os = "linux")]
mod linux {
    use std::time::Duration;

    use metrics::{Gauge, Label};
    use opentelemetry_semantic_conventions::attribute as attr;
    use procfs::{
        Current, WithCurrentSystemInfo,
        process::{Process, Stat},
    };

    use crate::catalog::{PROCESS_CPU, PROCESS_FILES, PROCESS_MEMORY, PROCESS_THREADS};

    /// Returns how long ago this process was created, to the hundredth of a second.
    pub fn age() -> Option<Duration> {
        let started = Process::myself().ok()?.stat().ok()?.starttime;
        let uptime = procfs::Uptime::current().ok()?.uptime_duration();
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
        let started = started as f64 / procfs::ticks_per_second() as f64;
        uptime.checked_sub(Duration::from_secs_f64(started))
    }

    pub struct Sampler {
        user: Gauge,
        system: Gauge,
        memory: Gauge,
        threads: Gauge,
        files: Gauge,
    }

    impl Default for Sampler {
        fn default() -> Self {
            let cpu =
                |mode: &'static str| PROCESS_CPU.gauge(vec![Label::new(attr::CPU_MODE, mode)]);
            Self {
                user: cpu("user"),
                system: cpu("system"),
                memory: PROCESS_MEMORY.gauge(Vec::new()),
                threads: PROCESS_THREADS.gauge(Vec::new()),
                files: PROCESS_FILES.gauge(Vec::new()),
            }
        }
    }

    impl Sampler {
        pub fn sample(&self) {
            let Ok(process) = Process::myself() else { return };
            if let Ok(stat) = process.stat() {
                self.record(&stat);
            }
            if let Ok(files) = process.fd_count() {
                #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
                self.files.set(files as f64);
            }
        }

        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
        fn record(&self, stat: &Stat) {
            let ticks = procfs::ticks_per_second() as f64;
            self.user.set(stat.utime as f64 / ticks);
            self.system.set(stat.stime as f64 / ticks);
            self.memory.set(stat.rss_bytes().get() as f64);
            self.threads.set(stat.num_threads as f64);
        }
    }
}
