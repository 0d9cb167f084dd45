//! A cluster: training and sampling on somebody else's engine, spoken to in the Tinker protocol.
//!
//! | here is | it does |
//! |---|---|
//! | [`wire`] | the bodies of requests and replies, in JSON and in protobuf, for clients and for servers |

pub mod wire;
