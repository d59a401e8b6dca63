//! How the console hangs in beside the collection endpoints.
//!
//! # Invariants
//! * On the core that has the connection nothing is done but handing over: pages are made on another thread, a few at a
//!   time, and so much memory as passwords take is taken a few times at most.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use forebay_export::{ExportMount, NoFile};
use forebay_http::{Body, BodyError, Collector, Context, Mount, MountFuture, Place};
use forebay_log::Store;
use hyper::Request;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::{
    answer::{Answer, Export},
    api,
    half::Halves,
    refusal::Refusal,
    site::{Asked, ConsoleConfig, Site},
    stream::AuditStream,
};

/// Requests that are worked on at once; the next ones wait.
const TURNS: usize = 4;
const TURN_WAIT: Duration = Duration::from_secs(10);
/// The longest form, and the longest document of a call.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The console: its pages, and the calls of `/api/app`.
#[derive(Clone)]
pub struct Console {
    site: Arc<Site>,
    export: ExportMount,
    turns: Arc<Semaphore>,
}

impl Console {
    /// A console of what `collector` takes in, `store` reads and `export` gives out, for senders that connect to `port`.
    #[must_use]
    pub fn new(
        collector: Arc<Collector>,
        store: Store,
        export: ExportMount,
        port: u16,
        config: ConsoleConfig,
    ) -> Console {
        let site = Site { collector, store, export: export.clone(), config, port, halves: Halves::default() };
        Console { site: Arc::new(site), export, turns: Arc::new(Semaphore::new(TURNS)) }
    }

    /// What to hang in.
    #[must_use]
    pub fn mounts(&self) -> Vec<Arc<dyn Mount>> {
        vec![Arc::new(Pages(self.clone())), Arc::new(Calls(self.clone()))]
    }

    fn call(&self, request: Request<Result<Bytes, BodyError>>, context: &Context) -> MountFuture {
        let (parts, body) = request.into_parts();
        let asked = Asked {
            path: parts.uri.path().to_owned(),
            parts,
            body,
            client: context.client,
            is_secure: context.is_secure,
            is_admin: context.is_admin,
        };
        let (site, turns) = (Arc::clone(&self.site), Arc::clone(&self.turns));
        let waiting = Arc::clone(&turns);
        let (collector, exporter) = (Arc::clone(&context.collector), self.export.clone());
        Box::pin(async move {
            let Ok(Ok(turn)) = timeout(TURN_WAIT, waiting.acquire_owned()).await else {
                return api::refused(&Refusal::Busy).and_retry_after(2).into_response();
            };
            let shared = Arc::clone(&site);
            let answering = spawn_blocking(move || {
                let answer = site.answer(&asked);
                drop(turn);
                answer
            });
            let mut answer: Answer = answering.await.unwrap_or_else(|panicked| {
                tracing::error!(%panicked, "a request of the console failed");
                api::refused(&Refusal::Failed(panicked.to_string()))
            });
            if let Some(file) = answer.take_audit() {
                let file = Body::stream(AuditStream::new(shared, turns, file));
                return answer.into_response().map(|_| file);
            }
            let Some(Export { actor, project, query }) = answer.take_export() else {
                return answer.into_response();
            };
            match exporter.file(&collector, &actor, &project, query).await {
                Ok(events) => answer.into_response().map(|_| events),
                Err(NoFile::Invalid(why)) => api::refused(&Refusal::Invalid(why)).into_response(),
                Err(NoFile::Unavailable(why, seconds)) => {
                    api::refused(&Refusal::Unavailable(why)).and_retry_after(seconds).into_response()
                }
            }
        })
    }
}

/// The pages.
struct Pages(Console);

impl Mount for Pages {
    fn matches(&self, path: &str) -> bool {
        // `/` is the senders' where they connect; it gets here by the admin listener only.
        path == "/" || path == "/console" || path.starts_with("/console/")
    }

    fn place(&self) -> Place {
        Place::Admin
    }

    fn body_bytes_max(&self) -> usize {
        BODY_BYTES_MAX
    }

    fn call(&self, request: Request<Result<Bytes, BodyError>>, context: Context) -> MountFuture {
        self.0.call(request, &context)
    }
}

/// The calls: programs use them beside the raw export, with the same credentials.
struct Calls(Console);

impl Mount for Calls {
    fn matches(&self, path: &str) -> bool {
        api::is_call(path)
    }

    fn place(&self) -> Place {
        Place::Both
    }

    fn body_bytes_max(&self) -> usize {
        BODY_BYTES_MAX
    }

    fn call(&self, request: Request<Result<Bytes, BodyError>>, context: Context) -> MountFuture {
        self.0.call(request, &context)
    }
}
