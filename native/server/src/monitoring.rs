//! `Monitoring.Stats`: the figures of a real server, under its keys. What this server has not is 0, as its garbage
//! collector, or left out, as the figures of each of its queues.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream;
use tonic::Status;
use wire::proto::monitoring::{StatsReq, StatsResp};

use crate::answers::Answers;
use crate::fault;
use crate::messages::Messages;
use crate::node::Context;

/// Figures, again and again, until the client has enough. Their keys say the same with metadata and without.
pub async fn stats(context: Context, request: StatsReq) -> Result<Answers, Status> {
    if request.refresh_time_period_in_ms == 0 {
        return Err(fault::handler());
    }
    let period = Duration::from_millis(request.refresh_time_period_in_ms);
    let answers = stream::unfold((context, Duration::ZERO), move |(context, wait)| async move {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = context.node.engine.stopping() => return Some((Err(fault::stopping()), (context, period))),
        }
        let stats = figures(context.node.engine.head().await);
        Some((Ok(Messages::of(&StatsResp { stats })), (context, period)))
    });
    Ok(Answers::new(answers))
}

/// What is known of the process, the system and the store, whose log goes to here.
fn figures(head: u64) -> BTreeMap<String, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (memory, status, io, load) =
        (read("/proc/meminfo"), read("/proc/self/status"), read("/proc/self/io"), read("/proc/loadavg"));
    let mut load = load.split_whitespace();
    let figures = [
        ("proc-id", std::process::id().to_string()),
        ("proc-mem", bytes(&status, "VmRSS:")),
        ("proc-cpu", "0".to_owned()),
        ("proc-threadsCount", field(&status, "Threads:")),
        ("proc-contentionsRate", "0".to_owned()),
        ("proc-thrownExceptionsRate", "0".to_owned()),
        ("proc-startTime", "0".to_owned()),
        ("proc-gc-allocationSpeed", "0".to_owned()),
        ("proc-gc-totalBytesInHeaps", "0".to_owned()),
        ("proc-diskIo-readBytes", field(&io, "read_bytes:")),
        ("proc-diskIo-writtenBytes", field(&io, "write_bytes:")),
        ("proc-diskIo-readOps", field(&io, "syscr:")),
        ("proc-diskIo-writeOps", field(&io, "syscw:")),
        ("proc-tcp-connections", "0".to_owned()),
        ("proc-tcp-receivedBytesTotal", "0".to_owned()),
        ("proc-tcp-sentBytesTotal", "0".to_owned()),
        ("sys-cpu", "0".to_owned()),
        ("sys-freeMem", bytes(&memory, "MemAvailable:")),
        ("sys-totalMem", bytes(&memory, "MemTotal:")),
        ("sys-loadavg-1m", load.next().unwrap_or("0").to_owned()),
        ("sys-loadavg-5m", load.next().unwrap_or("0").to_owned()),
        ("sys-loadavg-15m", load.next().unwrap_or("0").to_owned()),
        ("sys-drive-/-totalBytes", "0".to_owned()),
        ("es-checksum", head.to_string()),
        ("es-checksumNonFlushed", head.to_string()),
        ("es-writer-lastFlushSize", "0".to_owned()),
        ("es-readIndex-cachedRecord", "0".to_owned()),
        ("es-cache-totalBytes", "0".to_owned()),
        ("es-queue-Penstock-length", "0".to_owned()),
    ];
    figures.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The number after a name at the beginning of a line.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line
        .and_then(|rest| rest.split_whitespace().next())
        .filter(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()));
    number.unwrap_or("0").to_owned()
}

/// The same of a line in kB.
fn bytes(text: &str, name: &str) -> String {
    field(text, name).parse::<u64>().map_or(0, |kilobytes| kilobytes.saturating_mul(1024)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_lines_that_name_them_and_are_0_where_there_are_none() {
        let text = "MemTotal:       16 kB\nThreads:\t7\nName:\tx\n";
        assert_eq!(bytes(text, "MemTotal:"), "16384");
        assert_eq!(field(text, "Threads:"), "7");
        assert_eq!(field(text, "Name:"), "0");
        assert_eq!(field(text, "VmRSS:"), "0");
    }
}
