//! Health checks and metrics.

use crate::{
    answer::{self, Answer, TEXT},
    collector::Collector,
    metrics,
};
use hyper::StatusCode;
use std::sync::Arc;

/// The process runs and answers.
pub(crate) fn live() -> Answer {
    Answer::text(StatusCode::OK, &TEXT, "live\n")
}

/// Requests may come: red while draining or unable to store, with the reason.
pub(crate) fn ready(collector: &Collector) -> Answer {
    match collector.ready() {
        Ok(()) => Answer::text(StatusCode::OK, &TEXT, "ready\n"),
        Err(reason) => Answer::text(StatusCode::SERVICE_UNAVAILABLE, &TEXT, format!("not ready: {reason}\n")),
    }
}

/// All metrics. Gathered on another thread: with many projects it takes a while.
pub(crate) async fn metrics(collector: &Arc<Collector>) -> Answer {
    let gathering = Arc::clone(collector);
    match tokio::task::spawn_blocking(move || metrics::text(&gathering)).await {
        Ok(Ok(text)) => Answer::text(StatusCode::OK, &metrics::CONTENT_TYPE, text),
        Ok(Err(error)) => answer::problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(panicked) => answer::problem(StatusCode::INTERNAL_SERVER_ERROR, &panicked.to_string()),
    }
}
