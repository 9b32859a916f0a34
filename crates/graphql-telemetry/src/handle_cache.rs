//! HandleCache of a metric, kept by what distinguishes them: asking the recorder costs more than
//! recording.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock},
};

use foldhash::fast::RandomState;

/// The series of a metric, made when first recorded.
pub struct HandleCache<K, T> {
    known: RwLock<HashMap<K, T, RandomState>>,
    make: fn(&K) -> T,
}

impl<K: Eq + Hash, T: Clone> HandleCache<K, T> {
    /// HandleCache that `make` makes. It is asked once for each key.
    pub fn new(make: fn(&K) -> T) -> Self {
        Self { known: RwLock::default(), make }
    }

    /// The series of `key`.
    pub fn get(&self, key: K) -> T {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let new = (self.make)(&key);
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.entry(key).or_insert(new).clone()
        })
    }
}
