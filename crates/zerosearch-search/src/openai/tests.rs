//! Facts about the writer, told by servers on the loopback interface.
