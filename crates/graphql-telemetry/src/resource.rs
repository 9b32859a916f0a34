//! Whose telemetry it is: the service, and the resource that all of it is of.

use std::{sync::OnceLock, time::SystemTime};

use humantime::format_rfc3339_millis;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::{Resource, resource::TelemetryResourceDetector};
use opentelemetry_semantic_conventions::{SCHEMA_URL, attribute as attr};

/// The service that this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// `service.name`, unless the environment has another.
    pub name: &'static str,
    /// `service.version`.
    pub version: &'static str,
}

static SERVICE: OnceLock<Service> = OnceLock::new();

/// Makes `service` what this process is, once.
pub(crate) fn set_service(service: Service) {
    let _ = SERVICE.set(service);
}

/// Returns what this process is; before telemetry is installed, nothing that has a name.
pub(crate) fn service() -> Service {
    SERVICE.get().copied().unwrap_or(Service { name: "unknown_service", version: "" })
}

/// The resource of all telemetry of this process. `others` are attributes of the environment, which have
/// the last word.
///
/// Not by `opentelemetry-resource-detectors` (0.13): that of the host runs the program `hostname`, which
/// an image without a shell lacks, and that of the process exports the command line, which may contain
/// passwords.
pub(crate) fn resource(others: Vec<KeyValue>) -> Resource {
    let Service { name, version } = service();
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().into_owned();
    let attributes = [
        KeyValue::new(attr::SERVICE_NAME, name),
        KeyValue::new(attr::SERVICE_VERSION, version),
        KeyValue::new(attr::SERVICE_NAMESPACE, name),
        KeyValue::new(attr::SERVICE_INSTANCE_ID, uuid::Uuid::new_v4().to_string()),
        KeyValue::new(attr::HOST_NAME, host),
        KeyValue::new(attr::OS_TYPE, std::env::consts::OS),
        KeyValue::new(attr::PROCESS_CREATION_TIME, format_rfc3339_millis(created()).to_string()),
        KeyValue::new(attr::PROCESS_PID, i64::from(std::process::id())),
        KeyValue::new(attr::PROCESS_EXECUTABLE_NAME, program),
    ];
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_schema_url(attributes, SCHEMA_URL)
        .with_attributes(others)
        .build()
}

/// When this process was created; elsewhere than on Linux, when its telemetry was installed.
fn created() -> SystemTime {
    #[cfg(target_os = "linux")]
    if let Some(since) = crate::process::age() {
        return SystemTime::now() - since;
    }
    SystemTime::now()
}

/// The scope of the service's telemetry.
pub(crate) fn scope() -> InstrumentationScope {
    let Service { name, version } = service();
    InstrumentationScope::builder(name).with_version(version).with_schema_url(SCHEMA_URL).build()
}
