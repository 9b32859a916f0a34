//! How many subscriptions there may be, in all and of each caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    config::limits::SubscriptionLimits,
    error::{Code, Error, Result},
    security::Identity,
};

/// The places for subscriptions. Clones share them.
#[derive(Clone, Debug)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    max_of_caller: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    callers: HashMap<Identity, usize>,
}

/// The place of a subscription, until it is dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    whose: Identity,
}

impl Places {
    /// As many as `limits` allow.
    #[must_use]
    pub fn new(limits: &SubscriptionLimits) -> Self {
        Self(Arc::new(Shared {
            max: limits.max_subscriptions,
            max_of_caller: limits.max_caller_subscriptions,
            taken: Mutex::default(),
        }))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// If there are too many, in all or of this caller.
    pub fn take(&self, whose: Identity) -> Result<Place> {
        let Shared { max, max_of_caller, .. } = *self.0;
        let mut taken = self.0.taken();
        if taken.all >= max {
            return Err(Error::Overloaded);
        }
        let of_caller = taken.callers.entry(whose).or_default();
        if *of_caller >= max_of_caller {
            let message = format!("You have {max_of_caller} subscriptions already.");
            return Err(Error::Client(Code::LimitExceeded, message));
        }
        *of_caller += 1;
        taken.all += 1;
        Ok(Place { shared: self.0.clone(), whose })
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shared.taken();
        taken.all -= 1;
        if let Some(of_caller) = taken.callers.get_mut(&self.whose) {
            *of_caller -= 1;
            if *of_caller == 0 {
                taken.callers.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Cli;

    #[test]
    fn limits_subscriptions_in_all_and_of_a_caller() {
        let arguments = "colophon --max-subscriptions 3 --max-caller-subscriptions 2";
        let limits = Cli::parse_from(arguments.split(' ')).settings.limits.subscriptions;
        let places = Places::new(&limits);
        let (one, another) = (Identity::new(1), Identity::new(2));
        let mut held = vec![places.take(one).unwrap(), places.take(one).unwrap()];
        assert_eq!(places.take(one).unwrap_err().code(), Code::LimitExceeded);
        held.push(places.take(another).unwrap());
        assert_eq!(places.take(another).unwrap_err().code(), Code::Overloaded);
        held.clear();
        let taken = places.0.taken();
        assert!(taken.all == 0 && taken.callers.is_empty(), "{taken:?}");
    }
}
