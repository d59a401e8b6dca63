//! End-to-end tests of the real server.
