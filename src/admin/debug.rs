//! `/debug/…`: what the runtime is doing, for people and their tools.

use std::{fmt::Write, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::task::spawn_blocking;

use super::Admin;
use crate::telemetry::runtime::dump::{self, Dump, Frame, State as TaskState, TaskDump};

/// How long tasks may take to say where they are.
const DUMP_LIMIT: Duration = Duration::from_secs(2);

/// The routes.
pub fn router() -> Router<Arc<Admin>> {
    Router::new().route("/debug/tasks", get(tasks))
}

/// All live tasks and where they are parked: JSON if asked for, text otherwise.
async fn tasks(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let made = spawn_blocking(move || dump::dump(&admin.runtime, DUMP_LIMIT)).await;
    let dump = match made {
        Ok(Ok(dump)) => dump,
        Ok(Err(busy)) => return refuse(StatusCode::CONFLICT, busy),
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("application/json")) {
        Json(dump).into_response()
    } else {
        text(&dump).into_response()
    }
}

fn refuse(status: StatusCode, why: impl std::fmt::Display) -> Response {
    (status, format!("{why}\n")).into_response()
}

fn text(dump: &Dump) -> String {
    let mut text = format!("{} tasks, and {} of libraries\n", dump.tasks.len(), dump.others);
    for task in &dump.tasks {
        // Writing into a string cannot fail.
        let _ = write_task(&mut text, task);
    }
    text
}

fn write_task(text: &mut String, task: &TaskDump) -> std::fmt::Result {
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
        TaskState::Parked { stacks } if stacks.is_empty() => {
            writeln!(text, "  parked, at nothing of tokio's")
        }
        TaskState::Parked { stacks } => {
            stacks.iter().try_for_each(|frames| write_stack(text, frames))
        }
        TaskState::Running { worker, seconds, field } => {
            write!(text, "  running on worker {worker} for {seconds:.3} s")?;
            writeln!(text, "{}{}", if field.is_some() { ", in " } else { "" }, field.unwrap_or(""))
        }
        TaskState::Scheduled => writeln!(text, "  woken, and waiting for a worker"),
        TaskState::Ended => writeln!(text, "  ended meanwhile"),
    }
}

/// The innermost function and those of our own that led to it; JSON has them all.
fn write_stack(text: &mut String, frames: &[Frame]) -> std::fmt::Result {
    writeln!(text, "  parked at")?;
    let is_own = |frame: &Frame| frame.place.as_ref().is_some_and(|it| it.starts_with("src/"));
    let mut left_out = false;
    for (index, frame) in frames.iter().rev().enumerate() {
        if index > 0 && !is_own(frame) {
            left_out = true;
            continue;
        }
        if std::mem::take(&mut left_out) {
            writeln!(text, "    …")?;
        }
        let place = frame.place.as_deref().unwrap_or("?");
        writeln!(text, "    {place:<48} {}", without_generics(&frame.function))?;
    }
    Ok(())
}

/// `drive{async_fn#0}<…>` without what stands in the last angle brackets.
fn without_generics(function: &str) -> &str {
    match function.find('<') {
        Some(start) if start > 0 => &function[..start],
        _ => function,
    }
}
