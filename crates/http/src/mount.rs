//! What hangs in beside the collection endpoints: the raw export, later the console.

use crate::{body::Body, collector::Collector};
use hyper::{Request, Response, body::Incoming};
use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc};

/// Answers the requests of some paths. Called on the core that has the connection: what blocks belongs on
/// another thread (`tokio::task::spawn_blocking`).
pub trait Mount: Send + Sync {
    /// Whether a normalised path (no doubled or trailing slash) is its.
    fn matches(&self, path: &str) -> bool;

    /// Answers a request. CORS headers are put on the answer by the caller.
    fn call(&self, request: Request<Incoming>, context: Context) -> MountFuture;
}

/// A mount's answer to come.
pub type MountFuture = Pin<Box<dyn Future<Output = Response<Body>>>>;

/// What a mount may want to know beside the request.
#[derive(Clone, Debug)]
pub struct Context {
    /// What the server shares; [`Collector::identify`] tells who sent the request.
    pub collector: Arc<Collector>,
    /// The client's address by the trusted-proxy rule.
    pub client: IpAddr,
}
