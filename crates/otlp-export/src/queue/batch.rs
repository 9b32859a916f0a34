//! What waits, in the batches in which it is sent.

use std::collections::VecDeque;

use crate::options::QueueOptions;

/// Items that are sent together.
pub trait Batch: Default + Send + 'static {
    /// An item, as it is handed over.
    type Item<'a>;

    /// Adds an item. Called with the queue locked: to be short.
    fn push(&mut self, item: Self::Item<'_>);

    /// How many items there are.
    fn items(&self) -> usize;

    /// The bytes of an item.
    fn size_of(item: &Self::Item<'_>) -> usize;

    /// The bytes of all items.
    fn bytes(&self) -> usize;

    /// Removes them, and keeps the memory for others.
    fn clear(&mut self);
}

impl<T: Send + 'static> Batch for Vec<T> {
    type Item<'a> = T;

    fn push(&mut self, item: T) {
        self.push(item);
    }

    fn items(&self) -> usize {
        self.len()
    }

    /// Without what it points to: the console is for development.
    fn size_of(_: &T) -> usize {
        size_of::<T>()
    }

    fn bytes(&self) -> usize {
        self.len() * size_of::<T>()
    }

    fn clear(&mut self) {
        self.clear();
    }
}

/// What is to be sent: batches that are full, and one that is filled.
#[derive(Default)]
pub struct Waiting<B> {
    batches: VecDeque<B>,
    /// How many wait.
    pub items: usize,
    /// Their bytes.
    bytes: usize,
    /// One that was sent: with the memory of it, that of the next need not grow.
    pub spare: Option<B>,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Queued {
        /// Whether a batch has become full.
        fills_batch: bool,
    },
    /// There was no room for it.
    NoRoom,
    /// There never is room for one as large.
    TooLarge,
}

impl<B: Batch> Waiting<B> {
    /// Queues an item if there is room for it.
    pub fn push(&mut self, item: B::Item<'_>, settings: &QueueOptions) -> Pushed {
        let size = B::size_of(&item);
        if size > settings.batch_bytes {
            return Pushed::TooLarge;
        }
        if self.items >= settings.capacity || self.bytes + size > settings.bytes {
            return Pushed::NoRoom;
        }
        self.items += 1;
        self.bytes += size;
        let has_room = |last: &&mut B| {
            last.items() < settings.batch && last.bytes() + size <= settings.batch_bytes
        };
        if let Some(last) = self.batches.back_mut().filter(has_room) {
            last.push(item);
            return Pushed::Queued { fills_batch: last.items() == settings.batch };
        }
        // The bytes of one before may have filled it, or it was told of when its items did.
        let fills_batch = settings.batch == 1
            || self.batches.back().is_some_and(|last| last.items() < settings.batch);
        let mut next = self.spare.take().unwrap_or_default();
        next.push(item);
        self.batches.push_back(next);
        Pushed::Queued { fills_batch }
    }

    /// The next one to send.
    pub fn take(&mut self) -> Option<B> {
        let batch = self.batches.pop_front()?;
        self.items -= batch.items();
        self.bytes -= batch.bytes();
        Some(batch)
    }
}
