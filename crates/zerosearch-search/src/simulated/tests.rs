//! Facts about the engine, told with writers that play a script.
