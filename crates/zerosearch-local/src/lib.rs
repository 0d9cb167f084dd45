//! The in-process learner.
