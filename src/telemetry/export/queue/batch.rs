//! What waits, in the batches in which it is sent.

use std::collections::VecDeque;

use crate::telemetry::export::settings::QueueSettings;

/// Items that are sent together.
pub trait Batch: Default + Send + 'static {
    /// An item, as it is handed over.
    type Item<'a>;

    /// Adds an item. Called with the queue locked: to be short.
    fn push(&mut self, item: Self::Item<'_>);

    /// How many items there are.
    fn len(&self) -> usize;

    /// Removes them, and keeps the memory for others.
    fn clear(&mut self);
}

impl<T: Send + 'static> Batch for Vec<T> {
    type Item<'a> = T;

    fn push(&mut self, item: T) {
        self.push(item);
    }

    fn len(&self) -> usize {
        self.len()
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
    /// One that was sent: with the memory of it, that of the next need not grow.
    pub spare: Option<B>,
}

impl<B: Batch> Waiting<B> {
    /// Answers how many wait then, if there is room for one more.
    pub fn push(&mut self, item: B::Item<'_>, settings: &QueueSettings) -> Option<usize> {
        if self.items >= settings.capacity {
            return None;
        }
        match self.batches.back_mut() {
            Some(last) if last.len() < settings.batch => last.push(item),
            _ => {
                let mut next = self.spare.take().unwrap_or_default();
                next.push(item);
                self.batches.push_back(next);
            }
        }
        self.items += 1;
        Some(self.items)
    }

    /// The next one to send.
    pub fn take(&mut self) -> Option<B> {
        let batch = self.batches.pop_front()?;
        self.items -= batch.len();
        Some(batch)
    }
}
