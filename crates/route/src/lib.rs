//! Token to project to lane: lock-free routing, admission by bytes, and the ledger of every event.
