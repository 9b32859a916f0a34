//! An OTLP receiver in the test's own process, for what needs nothing of a collector's behavior: it keeps
//! what it gets, and returns as the test wants. By gRPC and HTTP on ports that the kernel chooses.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    logs::v1::LogRecord,
    metrics::v1::Metric,
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, codec::CompressionEncoding, transport::Server};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the receiver answers with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It takes everything.
    #[default]
    Accept,
    /// It takes all but so many items of each request.
    Reject(i64),
    /// It cannot take anything now: `UNAVAILABLE`, 503.
    Unavailable,
    /// It never takes any: `INVALID_ARGUMENT`, 400.
    Refuse,
}

#[derive(Default)]
struct Received {
    answer: Answer,
    requests: usize,
    user_agents: Vec<String>,
    resources: Vec<Resource>,
    spans: Vec<Span>,
    records: Vec<LogRecord>,
    metrics: Vec<Metric>,
}

type Shared = Arc<Mutex<Received>>;

/// A receiver. Ends when dropped.
pub struct Receiver {
    state: Shared,
    grpc: SocketAddr,
    http: SocketAddr,
    servers: [JoinHandle<()>; 2],
}

impl Receiver {
    /// Starts one that accepts everything.
    ///
    /// # Panics
    /// If no port can be had.
    pub async fn start() -> Self {
        let state = Shared::default();
        let bind = || async { TcpListener::bind("127.0.0.1:0").await.expect("a free port") };
        let (grpc, http) = (bind().await, bind().await);
        let address = |listener: &TcpListener| listener.local_addr().expect("it is bound");
        let addresses = (address(&grpc), address(&http));
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/logs", post(logs))
            .route("/v1/metrics", post(metrics))
            .with_state(state.clone());
        let gzip = CompressionEncoding::Gzip;
        let services = Server::builder()
            .add_service(TraceServiceServer::new(Service(state.clone())).accept_compressed(gzip))
            .add_service(LogsServiceServer::new(Service(state.clone())).accept_compressed(gzip))
            .add_service(MetricsServiceServer::new(Service(state.clone())).accept_compressed(gzip));
        let by_grpc = async {
            let served = services.serve_with_incoming(TcpListenerStream::new(grpc)).await;
            served.expect("it serves");
        };
        let by_http = async { axum::serve(http, router).await.expect("it serves") };
        Self {
            state,
            grpc: addresses.0,
            http: addresses.1,
            servers: [spawn(by_grpc), spawn(by_http)],
        }
    }

    /// Its URL for gRPC.
    #[must_use]
    pub fn grpc(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Its URL for HTTP, without the path of a signal.
    #[must_use]
    pub fn http(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: Answer) {
        lock(&self.state).answer = answer;
    }

    /// The number of requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        lock(&self.state).requests
    }

    /// The `User-Agent` of each request.
    #[must_use]
    pub fn user_agents(&self) -> Vec<String> {
        lock(&self.state).user_agents.clone()
    }

    /// The resource of each request.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        lock(&self.state).resources.clone()
    }

    /// The spans that it took.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.state).spans.clone()
    }

    /// The log records that it took.
    #[must_use]
    pub fn records(&self) -> Vec<LogRecord> {
        lock(&self.state).records.clone()
    }

    /// The metrics that it took, once for each export.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        lock(&self.state).metrics.clone()
    }

    /// Waits until `is_so`.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's task needs no name")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work)
}

fn lock(state: &Shared) -> MutexGuard<'_, Received> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a request, and returns how to answer it.
fn arrives(state: &Shared, user_agent: Option<&str>) -> Answer {
    let mut state = lock(state);
    state.requests += 1;
    state.user_agents.extend(user_agent.map(ToOwned::to_owned));
    state.answer
}

fn take_spans(
    state: &Shared,
    request: ExportTraceServiceRequest,
    answer: Answer,
) -> ExportTraceServiceResponse {
    let mut state = lock(state);
    for of_resource in request.resource_spans {
        state.resources.extend(of_resource.resource);
        state.spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    let Answer::Reject(rejected_spans) = answer else {
        return ExportTraceServiceResponse::default();
    };
    let error_message = "no room".to_owned();
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
    ExportTraceServiceResponse { partial_success }
}

fn take_records(
    state: &Shared,
    request: ExportLogsServiceRequest,
    answer: Answer,
) -> ExportLogsServiceResponse {
    let mut state = lock(state);
    for of_resource in request.resource_logs {
        state.resources.extend(of_resource.resource);
        state
            .records
            .extend(of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records));
    }
    let Answer::Reject(rejected_log_records) = answer else {
        return ExportLogsServiceResponse::default();
    };
    let error_message = "no room".to_owned();
    let partial_success = Some(ExportLogsPartialSuccess { rejected_log_records, error_message });
    ExportLogsServiceResponse { partial_success }
}

fn take_metrics(
    state: &Shared,
    request: ExportMetricsServiceRequest,
    answer: Answer,
) -> ExportMetricsServiceResponse {
    let mut state = lock(state);
    for of_resource in request.resource_metrics {
        state.resources.extend(of_resource.resource);
        state.metrics.extend(of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
    }
    let Answer::Reject(rejected_data_points) = answer else {
        return ExportMetricsServiceResponse::default();
    };
    let error_message = "no room".to_owned();
    let partial_success = Some(ExportMetricsPartialSuccess { rejected_data_points, error_message });
    ExportMetricsServiceResponse { partial_success }
}

struct Service(Shared);

impl Service {
    fn answer<T>(&self, request: &Request<T>) -> Result<Answer, Status> {
        let user_agent = request.metadata().get("user-agent").and_then(|it| it.to_str().ok());
        match arrives(&self.0, user_agent) {
            Answer::Unavailable => Err(Status::new(Code::Unavailable, "not now")),
            Answer::Refuse => Err(Status::new(Code::InvalidArgument, "never")),
            answer => Ok(answer),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let answer = self.answer(&request)?;
        Ok(Response::new(take_spans(&self.0, request.into_inner(), answer)))
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let answer = self.answer(&request)?;
        Ok(Response::new(take_records(&self.0, request.into_inner(), answer)))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let answer = self.answer(&request)?;
        Ok(Response::new(take_metrics(&self.0, request.into_inner(), answer)))
    }
}

async fn traces(
    State(state): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    by_http(&state, &headers, &body, take_spans)
}

async fn logs(
    State(state): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    by_http(&state, &headers, &body, take_records)
}

async fn metrics(
    State(state): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    by_http(&state, &headers, &body, take_metrics)
}

fn by_http<Q: Message + Default, A: Message>(
    state: &Shared,
    headers: &HeaderMap,
    body: &[u8],
    take: impl Fn(&Shared, Q, Answer) -> A,
) -> (StatusCode, Vec<u8>) {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let answer = arrives(state, header("user-agent"));
    match answer {
        Answer::Unavailable => return (StatusCode::SERVICE_UNAVAILABLE, Vec::new()),
        Answer::Refuse => return (StatusCode::BAD_REQUEST, Vec::new()),
        Answer::Accept | Answer::Reject(_) => {}
    }
    let mut text = Vec::new();
    let body = if header("content-encoding") == Some("gzip") {
        std::io::Read::read_to_end(&mut GzDecoder::new(body), &mut text).expect("gzip");
        &text
    } else {
        body
    };
    let request = Q::decode(body).expect("a request of OTLP");
    (StatusCode::OK, take(state, request, answer).encode_to_vec())
}
