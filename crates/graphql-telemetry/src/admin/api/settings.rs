//! The effective settings of the service.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Value, json};

use crate::admin::Admin;

/// A setting of the service, as [`Admin::settings`] shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The flag, such as `--listen`, if there is one.
    pub flag: Option<String>,
    /// The environment variable, such as `SHOP_LISTEN`, if there is one.
    pub variable: Option<String>,
    /// The effective value, without secrets; `None` if there is none.
    pub value: Option<String>,
    /// Where it comes from: `flag`, `environment`, `file` or `default`.
    pub source: &'static str,
}

/// `GET /debug/api/settings`
pub async fn get(State(admin): State<Arc<Admin>>) -> Json<Value> {
    Json(json!({ "settings": *admin.settings }))
}
