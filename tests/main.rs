//! The programs, run as a person runs them: as processes, each test in a folder of its own.

mod cli;
