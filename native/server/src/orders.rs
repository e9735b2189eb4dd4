//! What a running server is told: to end, to stand still, to cut its connections, or to begin anew.

use tokio::sync::{mpsc, oneshot, watch};

/// What was said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Whether to end.
    pub stop: bool,
    /// Whether to stand still: connections stay, and nothing is read from them or written to them.
    pub frozen: bool,
    /// How many times connections were to be cut.
    pub cuts: u64,
}

/// Who says so.
pub type Giver = watch::Sender<Orders>;
/// Who is told.
pub type Receiver = watch::Receiver<Orders>;

/// Who waits for a reset: is told when it is done, or why it was not.
pub type Waiting = oneshot::Sender<Result<(), String>>;
/// Those who want one.
pub type Resets = mpsc::Receiver<Waiting>;

/// Nothing was said yet.
pub fn orders() -> (Giver, Receiver) {
    watch::channel(Orders::default())
}

/// Tells the server to end; whether it was told before.
pub fn stop(giver: &Giver) -> bool {
    let mut told = false;
    giver.send_modify(|orders| told = std::mem::replace(&mut orders.stop, true));
    told
}

/// Waits until told to end; that nobody is left to say so means the same.
pub async fn told_to_stop(orders: &mut Receiver) {
    drop(orders.wait_for(|orders| orders.stop).await);
}

/// Waits until told to end, or to cut the connections that there were when so many cuts had been. What is to be done;
/// that nobody is left to say so means to end.
pub async fn told(orders: &mut Receiver, cuts: u64) -> Orders {
    let told = orders.wait_for(|orders| orders.stop || orders.cuts > cuts).await;
    told.map_or(Orders { stop: true, frozen: false, cuts }, |orders| *orders)
}

/// Waits until told to stand still, or to go on. That nobody is left to say so means to end, which is told elsewhere.
pub async fn frozen(orders: &mut Receiver, frozen: bool) {
    if orders.wait_for(|orders| orders.frozen == frozen).await.is_err() {
        std::future::pending::<()>().await;
    }
}
