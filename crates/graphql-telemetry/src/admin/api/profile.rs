//! A CPU profile as JSON.

use std::sync::Arc;

use axum::{Json, extract::State};
use runtime_insight::cpu::{Stack, Stacks};
use serde_json::{Value, json};

use crate::admin::{
    Admin,
    profiles::{SecondsQuery, profile, time},
    rejection::Rejection,
};

/// Seconds of a profile, unless the request says otherwise.
const SECONDS: u64 = 10;

/// `GET /debug/api/profile`
pub async fn get(
    State(admin): State<Arc<Admin>>,
    query: SecondsQuery,
) -> Result<Json<Value>, Rejection> {
    let time = time(query, SECONDS)?;
    let stacks = profile(&admin, time, |profile| Ok(profile.stacks())).await?;
    Ok(Json(body(time.as_secs(), &stacks)))
}

fn body(seconds: u64, Stacks { functions, stacks }: &Stacks) -> Value {
    let total: u64 = stacks.iter().map(|stack| stack.samples).sum();
    let stacks: Vec<_> = stacks.iter().map(stack).collect();
    json!({ "seconds": seconds, "samples": total, "functions": functions, "stacks": stacks })
}

fn stack(Stack { group, thread, frames, samples }: &Stack) -> Value {
    json!({ "root_field": group, "thread": thread, "frames": frames, "samples": samples })
}
