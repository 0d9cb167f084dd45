//! Integration tests of the whole program: one binary, one module per topic.
#![allow(clippy::unwrap_used)]

mod adapters;
mod bad_input;
mod bench;
mod cli;
mod collect;
mod compare;
mod configs;
mod house;
mod hub;
mod index;
mod learns;
mod methods;
mod plan;
mod program;
mod quickstart;
mod report;
mod resumes;
mod serve_model;
mod serve_openapi;
mod serve_search;
mod serve_tinker;
mod serve_tinker_contract;
mod serve_tinker_refusals;
mod server;
mod servers;
mod serving;
mod simulators;
mod tinker;
mod web;
