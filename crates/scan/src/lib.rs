//! Finds the events and the project token in any form a request body takes.
