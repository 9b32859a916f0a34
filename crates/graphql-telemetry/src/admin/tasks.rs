//! A dump of the tasks, as text for a person.

use std::fmt::{self, Write};

use runtime_insight::dump::{Dump, Frame, State, TaskDump};

/// A dump as text.
pub fn text(dump: &Dump) -> String {
    let mut text = format!("{} tasks, and {} of libraries\n", dump.tasks.len(), dump.others);
    for task in &dump.tasks {
        // Writing into a string cannot fail.
        let _ = write_task(&mut text, task);
    }
    text
}

fn write_task(text: &mut String, task: &TaskDump) -> fmt::Result {
    let TaskDump { id, name, operation, trace_id, age, state } = task;
    write!(text, "\n#{id} {name}, {age:.3} s old")?;
    if let Some(operation) = operation.as_ref().filter(|operation| *operation != name) {
        write!(text, ", for {operation}")?;
    }
    if let Some(trace_id) = trace_id {
        write!(text, ", trace {trace_id}")?;
    }
    writeln!(text)?;
    match state {
        State::Parked { stacks } if stacks.is_empty() => {
            writeln!(text, "  parked, at nothing of tokio's")
        }
        State::Parked { stacks } => stacks.iter().try_for_each(|frames| write_stack(text, frames)),
        State::Running { worker, seconds, section } => {
            write!(text, "  running on worker {worker} for {seconds:.3} s")?;
            writeln!(
                text,
                "{}{}",
                if section.is_some() { ", in " } else { "" },
                section.unwrap_or("")
            )
        }
        State::Scheduled => writeln!(text, "  woken, and waiting for a worker"),
        State::Ended => writeln!(text, "  ended meanwhile"),
    }
}

/// The innermost function and those of the program that led to it; JSON has them all.
fn write_stack(text: &mut String, frames: &[Frame]) -> fmt::Result {
    writeln!(text, "  parked at")?;
    let mut left_out = false;
    for (index, frame) in frames.iter().rev().enumerate() {
        if index > 0 && !is_own(frame) {
            left_out = true;
            continue;
        }
        if std::mem::take(&mut left_out) {
            writeln!(text, "    …")?;
        }
        // Without line tables, the function says where.
        match &frame.place {
            Some(place) => {
                writeln!(text, "    {place:<48} {}", without_generics(&frame.function))?;
            }
            None => writeln!(text, "    {}", frame.function)?,
        }
    }
    Ok(())
}

/// Whether the function is the service's own: by its file or, where the program has no line tables, by
/// its path.
fn is_own(Frame { function, place }: &Frame) -> bool {
    match place {
        Some(place) => place.starts_with("src/"),
        None => function.trim_start_matches(['<', '&', '*', '(', '[']).starts_with("colophon::"),
    }
}

/// `drive{async_fn#0}<…>` without what stands in the last angle brackets.
fn without_generics(function: &str) -> &str {
    match function.find('<') {
        Some(start) if start > 0 => &function[..start],
        _ => function,
    }
}
