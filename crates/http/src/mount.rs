//! What hangs in beside the collection endpoints: the raw export, the console, its calls.

use crate::{body::Body, collector::Collector};
use bytes::Bytes;
use hyper::{Request, Response};
use std::{fmt, future::Future, net::IpAddr, pin::Pin, sync::Arc};

/// Answers the requests of some paths. Called on the core that has the connection: what blocks belongs on
/// another thread (`tokio::task::spawn_blocking`).
pub trait Mount: Send + Sync {
    /// Whether a normalised path (no doubled or trailing slash) is its.
    fn matches(&self, path: &str) -> bool;

    /// Where it is reached.
    fn place(&self) -> Place {
        Place::Senders
    }

    /// The longest body it takes; a longer one reaches it as [`BodyError::TooLarge`].
    fn body_bytes_max(&self) -> usize {
        0
    }

    /// Answers a request. CORS headers are put on the answer by the caller, where scripts of other origins may ask at
    /// all.
    fn call(&self, request: Request<Result<Bytes, BodyError>>, context: Context) -> MountFuture;
}

/// A mount's answer to come.
pub type MountFuture = Pin<Box<dyn Future<Output = Response<Body>>>>;

/// Where a mount is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where senders connect, from every origin.
    Senders,
    /// On the admin listener and nowhere else; where there is none, where senders connect. No script of another origin
    /// gets to ask or to read.
    Admin,
    /// On both, from the same origin as with [`Place::Admin`].
    Both,
}

impl Place {
    /// Whether scripts of other origins may ask, and read the answers.
    pub(crate) fn is_shared(self) -> bool {
        self == Place::Senders
    }

    /// Whether it is reached by the admin listener (`true`) or by that of the senders.
    pub(crate) fn is_at(self, admin: bool, has_admin_listener: bool) -> bool {
        match self {
            Place::Senders => !admin,
            Place::Admin => admin || !has_admin_listener,
            Place::Both => true,
        }
    }
}

/// Why a mount gets no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than [`Mount::body_bytes_max`].
    TooLarge,
    /// There is no room for it now.
    Busy,
    /// It came too slowly, or not to its end.
    Broken,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::TooLarge => "the request's body is longer than what is taken here",
            BodyError::Busy => "the server has no room for the request's body now; try again in a moment",
            BodyError::Broken => "the request's body did not arrive whole, or too slowly; send it again",
        })
    }
}

impl std::error::Error for BodyError {}

/// What a mount may want to know beside the request.
#[derive(Clone, Debug)]
pub struct Context {
    /// What the server shares; [`Collector::identify`] tells who sent the request.
    pub collector: Arc<Collector>,
    /// The client's address by the trusted-proxy rule.
    pub client: IpAddr,
    /// The client's own connection is encrypted: a trusted proxy says so.
    pub is_secure: bool,
    /// The request came where [`Place::Admin`] is reached: what people sign in for may be answered.
    pub is_admin: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_an_admin_listener_what_is_for_people_is_only_there() {
        for (place, senders_alone, senders, admin) in [
            (Place::Senders, true, true, false),
            (Place::Admin, true, false, true),
            (Place::Both, true, true, true),
        ] {
            assert_eq!(place.is_at(false, false), senders_alone, "{place:?} without an admin listener");
            assert_eq!(place.is_at(false, true), senders, "{place:?} beside an admin listener");
            assert_eq!(place.is_at(true, true), admin, "{place:?} on the admin listener");
        }
    }
}
