//! The facts that every learner must satisfy.
