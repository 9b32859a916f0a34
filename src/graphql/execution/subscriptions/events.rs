//! The events that wait until their group's task executes them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::trace::SpanContext;

use crate::catalog::changes::BookChange;

/// How long after more events than can wait further ones are taken for more of the same.
pub const BURST: Duration = Duration::from_secs(1);

/// What a subscription's selection set is executed for.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it happened.
    pub at: SystemTime,
    /// The span that made it happen, if that is traced.
    pub cause: Option<SpanContext>,
    /// What happened to a book. None: changes may have been missed.
    pub change: Option<BookChange>,
}

impl Event {
    /// Says that changes may have been missed, so that what is shown must be read again.
    #[must_use]
    pub fn refetch() -> Self {
        Self { at: SystemTime::now(), cause: None, change: None }
    }
}

/// Events that wait for their execution.
#[derive(Default)]
pub struct Events {
    waiting: VecDeque<Event>,
    /// Whether there is a task that executes them.
    is_running: bool,
    /// Until when more changes are taken for more of the same burst.
    burst_until: Option<Instant>,
    /// When the next event that says that others were missed may be executed.
    next_refetch: Option<Instant>,
}

/// What the task that executes events does next.
pub enum Next {
    /// Execute this event.
    Execute(Event),
    /// Ask again then.
    Wait(Instant),
    /// Nothing: the task ends.
    End,
}

impl Events {
    /// Takes new events, and returns how many were dropped. More than `limit` are a burst, such as an import
    /// makes: in the place of its events there is one that says so, and for its duration one each
    /// [`BURST`].
    pub fn add(&mut self, new: Vec<Event>, limit: usize) -> usize {
        let now = Instant::now();
        let is_over = self.burst_until.is_none_or(|until| now >= until);
        if is_over && self.waiting.len() + new.len() <= limit {
            self.waiting.extend(new);
            return 0;
        }
        self.burst_until = Some(now + BURST);
        self.drop_all() + changes(&new)
    }

    /// Drops all events, and returns how many: in their place there is one that says so, after a while.
    pub fn postpone(&mut self) -> usize {
        self.next_refetch = Some(Instant::now() + BURST);
        self.drop_all()
    }

    /// Whether a task has to be started, which executes them.
    pub fn start(&mut self) -> bool {
        !std::mem::replace(&mut self.is_running, true)
    }

    fn drop_all(&mut self) -> usize {
        let dropped = changes(&self.waiting);
        self.waiting.clear();
        self.waiting.push_back(Event::refetch());
        dropped
    }

    /// What to do next.
    pub fn next(&mut self) -> Next {
        let is_refetch = self.waiting.front().is_some_and(|event| event.change.is_none());
        let now = Instant::now();
        if is_refetch && let Some(at) = self.next_refetch.filter(|at| *at > now) {
            return Next::Wait(at);
        }
        let Some(event) = self.waiting.pop_front() else {
            self.is_running = false;
            return Next::End;
        };
        if is_refetch {
            self.next_refetch = Some(now + BURST);
        }
        Next::Execute(event)
    }
}

/// How many of the events are changes.
fn changes<'a>(events: impl IntoIterator<Item = &'a Event>) -> usize {
    events.into_iter().filter(|event| event.change.is_some()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::changes::ChangeKind;

    fn events(count: usize) -> Vec<Event> {
        let change =
            BookChange { kind: ChangeKind::Created, id: 1, version: 1, authors: Vec::new() };
        vec![Event { change: Some(change), ..Event::refetch() }; count]
    }

    #[test]
    fn puts_one_event_in_the_place_of_a_burst() {
        let mut queue = Events::default();
        assert_eq!(queue.add(events(3), 4), 0);
        assert!(matches!(queue.next(), Next::Execute(Event { change: Some(_), .. })));
        assert_eq!(queue.add(events(3), 4), 5);
        assert!(matches!(queue.next(), Next::Execute(Event { change: None, .. })));
        assert!(matches!(queue.next(), Next::End));
        // For a while, whatever comes is more of the same, and told of later.
        assert_eq!(queue.add(events(1), 4), 1);
        assert_eq!(queue.add(events(2), 4), 2);
        assert!(matches!(queue.next(), Next::Wait(_)));
        queue.next_refetch = Some(Instant::now());
        assert!(matches!(queue.next(), Next::Execute(Event { change: None, .. })));
        queue.burst_until = Some(Instant::now());
        assert_eq!(queue.add(events(1), 4), 0);
    }
}
