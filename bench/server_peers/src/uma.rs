//! Appends to a UmaDB over its own client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_dcb::{DcbEvent, DcbEventStoreAsync as _};
use uuid::Uuid;

use crate::BODY;
use crate::run::{Failure, Latencies, Ran};

pub fn append(address: &str, clients: usize, connections: usize, time: Duration) -> Result<Ran, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connected = Vec::with_capacity(connections);
        for _ in 0..connections {
            let client = UmaDbClient::new(format!("http://{address}")).connect_async().await?;
            connected.push(Arc::new(client));
        }
        let began = Instant::now();
        let tasks: Vec<_> = connected
            .iter()
            .cycle()
            .take(clients)
            .map(|connection| tokio::spawn(one_client(connection.clone(), began + time)))
            .collect();
        let mut latencies = Latencies::default();
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok(Ran { wall: began.elapsed(), latencies })
    })
}

/// A stream is a tag here.
async fn one_client(connection: Arc<AsyncUmaDbClient>, until: Instant) -> Result<Latencies, Failure> {
    let (stream, mut latencies) = (format!("order-{}", Uuid::new_v4()), Latencies::default());
    loop {
        let began = Instant::now();
        if began >= until {
            return Ok(latencies);
        }
        let event = DcbEvent {
            event_type: "Benched".to_owned(),
            tags: vec![stream.clone()],
            data: vec![b'x'; BODY],
            uuid: Some(Uuid::new_v4()),
            metadata: Vec::new(),
        };
        connection.append(vec![event], None, None).await?;
        latencies.add(began);
    }
}
