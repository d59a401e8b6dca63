//! Listeners, limits and the collection endpoints, on hyper.
