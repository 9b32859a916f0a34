//! The flight recorder.
use std::io;
/// The flight recorder.
#[derive(Clone)]
pub struct FlightRecorder(std::sync::Arc<dial9::Recorder>);
impl FlightRecorder {
    /// Starts.
    pub fn start(_always: bool, _size: u16) -> io::Result<Self> {
        let writer = dial9::MemoryBuffer::new(16 << 20)?;
        Ok(Self(std::sync::Arc::new(dial9::recorder(writer).paused().build())))
    }
    /// For the runtime.
    pub fn recorder(&self) -> &dial9::Recorder {
        &self.0
    }
}
