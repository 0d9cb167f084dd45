//! Integration tests of the whole program: one binary, one module per topic.

mod house;
