//! `ServerFeatures.GetSupportedMethods`: what clients look up before they use it.

use wire::proto::server_features::{SupportedMethod, SupportedMethods};

/// The version of the server that this one behaves like; clients read its first three numbers.
pub const VERSION: &str = "24.10.4-penstock";

/// Every method there is, by its path, and its features. Names are told in lower case.
pub fn supported(methods: impl Iterator<Item = (&'static str, &'static [&'static str])>) -> SupportedMethods {
    let methods = methods.filter_map(|(path, features)| {
        let (service, method) = path.trim_start_matches('/').split_once('/')?;
        Some(SupportedMethod {
            method_name: method.to_ascii_lowercase(),
            service_name: service.to_ascii_lowercase(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        })
    });
    SupportedMethods { methods: methods.collect(), event_store_server_version: VERSION.to_owned() }
}
