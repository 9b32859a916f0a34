//! Log lines on their way to standard output. A thread of their own writes them, many at once: the service
//! has a line to write for each request, and must not stop because a terminal, a pipe or a disk takes no
//! more.
//!
//! Not by `tracing-appender` (0.2), whose `NonBlocking` sends each line through a channel: that takes some 4 µs
//! more CPU a line at 10,000 lines a second, also with a `BufWriter`, a twentieth of a small request. And it
//! bounds the number of lines, not their bytes. It can go when that crate takes lines in batches.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing::warn;

/// How long a line may wait for others. Warnings and errors do not.
const DELAY: Duration = Duration::from_millis(50);
/// Bytes that are worth writing at once.
const FLUSH_BYTES: usize = 256 * 1024;
/// Bytes that may wait. Further lines are lost, and counted.
const MAX_BUFFERED_BYTES: usize = 4 * 1024 * 1024;
/// How long shutdown waits for the reader of the last lines.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes log lines. Clones share it.
#[derive(Clone)]
pub struct NonBlockingWriter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    more: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    is_urgent: bool,
    is_closed: bool,
    is_writing: bool,
}

impl Waiting {
    const fn is_due(&self) -> bool {
        self.is_urgent || self.is_closed || self.lines.len() >= FLUSH_BYTES
    }

    const fn is_over(&self) -> bool {
        self.lines.is_empty() && !self.is_writing
    }
}

impl NonBlockingWriter {
    /// Starts the thread that writes to `to`.
    ///
    /// # Errors
    /// If the operating system rejects one.
    pub fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writing = shared.clone();
        thread::Builder::new().name("log lines".to_owned()).spawn(move || writing.work(to))?;
        Ok(Self(shared))
    }

    /// Takes a line, which does not wait for others if it `is_urgent`.
    pub fn push(&self, line: &[u8], is_urgent: bool) {
        self.0.push(line, is_urgent);
    }

    /// Closes it when dropped.
    #[must_use]
    pub fn guard(&self) -> WorkerGuard {
        WorkerGuard(self.clone())
    }
}

/// Has the last lines written before it is gone. Later ones are written directly.
pub struct WorkerGuard(NonBlockingWriter);

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        let shared = &*self.0.0;
        let mut waiting = shared.waiting();
        waiting.is_closed = true;
        shared.more.notify_one();
        // Nobody may be reading.
        let _ = shared
            .written
            .wait_timeout_while(waiting, SHUTDOWN_TIMEOUT, |waiting| !waiting.is_over());
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8], is_urgent: bool) {
        let mut waiting = self.waiting();
        if waiting.is_closed && waiting.is_over() {
            drop(waiting);
            // Whoever has closed it wants no lines.
            let _ = io::stdout().write_all(line);
            return;
        }
        if waiting.lines.len() + line.len() > MAX_BUFFERED_BYTES {
            waiting.lost += 1;
            return;
        }
        let is_first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        waiting.is_urgent |= is_urgent;
        if is_first || waiting.is_due() {
            self.more.notify_one();
        }
    }

    fn work(&self, mut to: impl Write) {
        let mut lines = Vec::new();
        loop {
            let Some(lost) = self.take(&mut lines) else { return };
            // Whoever has closed it wants no lines.
            let _ = to.write_all(&lines).and_then(|()| to.flush());
            lines.clear();
            self.waiting().is_writing = false;
            self.written.notify_all();
            if lost > 0 {
                warn!(
                    name: "log.lines_lost",
                    { log.lines.lost = lost },
                    "standard output blocked; dropping log lines"
                );
            }
        }
    }

    /// Waits for lines, and returns how many were lost before them; none when there will be no more.
    fn take(&self, lines: &mut Vec<u8>) -> Option<u64> {
        let idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.is_closed;
        let waiting = self.more.wait_while(self.waiting(), idle);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let early = |waiting: &mut Waiting| !waiting.is_due();
        let waited = self.more.wait_timeout_while(waiting, DELAY, early);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.is_empty() {
            return None;
        }
        mem::swap(&mut waiting.lines, lines);
        waiting.is_urgent = false;
        waiting.is_writing = true;
        Some(mem::take(&mut waiting.lost))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Hands each piece over, and waits until it may go on.
    struct Slow {
        written: Sender<Vec<u8>>,
        go: Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            self.written.send(lines.to_vec()).unwrap();
            self.go.recv().unwrap();
            Ok(lines.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_has_no_room_is_lost_and_the_rest_written_in_order() {
        let (written, pieces) = channel();
        let (go_on, go) = channel();
        let output = NonBlockingWriter::start(Slow { written, go }).unwrap();
        let push = |line: &[u8], urgent| output.push(line, urgent);
        push(b"one\n", true);
        assert_eq!(pieces.recv().unwrap(), b"one\n");
        push(b"two\n", false);
        push(b"three\n", false);
        push(&vec![b'x'; MAX_BUFFERED_BYTES], false);
        assert_eq!(output.0.waiting().lost, 1);
        let guard = output.guard();
        let closed = thread::spawn(move || drop(guard));
        go_on.send(()).unwrap();
        assert_eq!(pieces.recv().unwrap(), b"two\nthree\n");
        assert!(!closed.is_finished(), "they are not yet written");
        go_on.send(()).unwrap();
        closed.join().unwrap();
        assert!(output.0.waiting().is_over());
        assert!(pieces.recv().is_err(), "the thread has ended");
    }
}
