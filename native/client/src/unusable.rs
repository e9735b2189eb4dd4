//! What can be wrong with what a connection is to be made with.

/// Why nothing can be connected to with what a connection string says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A file that is named cannot be used.
    #[error("connection string: the file {path:?} of {key} {why}")]
    File {
        /// Which key names it.
        key: &'static str,
        /// Its name.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing can be encrypted.
    #[error("connection string: TLS cannot be used: {0}")]
    Tls(String),
    /// A text that cannot travel as metadata of a call.
    #[error("connection string: {0} takes visible ASCII characters")]
    Metadata(&'static str),
    /// The address cannot be used.
    #[error("connection string: the address {0} cannot be connected to: {1}")]
    Address(String, String),
}
