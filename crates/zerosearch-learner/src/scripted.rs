//! A policy and a learner that play a script: for tests and examples.
