//! The gRPC services of an EventStoreDB over `store_core`, in the process that wants one.
//!
//! - `server`, `connections`: starting, listening, ending
//! - `engine`: the store as many tasks share it, and how they hear of what is new
//! - `disk`, `disk_form`: storage in a folder
//! - `route`, `calls`, `requests`, `codec`, `messages`: from an HTTP request to a method, and its answers to bytes
//! - `append`, `batch`, `batch_answer`, `delete`: methods that write; `proposal` judges what they are sent
//! - `read`, `reading`, `subscription`, `filter`, `filtered`: the method that reads
//! - `features`, `gossip`, `operations`, `web`: what clients ask beside
//! - `fault`: errors as clients parse them

mod append;
mod batch;
mod batch_answer;
mod calls;
mod codec;
mod connections;
mod delete;
mod disk;
mod disk_form;
#[cfg(test)]
mod disk_tests;
mod engine;
mod fault;
mod features;
mod filter;
mod filtered;
mod gossip;
mod messages;
mod operations;
mod proposal;
mod read;
mod reading;
mod requests;
mod route;
mod server;
mod subscription;
mod web;

pub use server::{Options, Server, StartError, Storage};
