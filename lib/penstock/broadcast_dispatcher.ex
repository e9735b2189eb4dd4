defmodule Penstock.BroadcastDispatcher do
  @moduledoc """
  Gives every event to every consumer.

  The producer is asked for as many events as all of its consumers wait for: the slowest one sets the pace, and
  none gets more than it has asked for. A consumer that has subscribed and not asked yet holds the others up.

  A consumer gets the events that are dispatched after it has subscribed. For all consumers to get the first ones
  too, start the producer with `demand: :accumulate`, and let it go with `Penstock.Stage.demand/2` when they are
  there:

      defmodule Announcer do
        use Penstock.Stage

        @impl true
        def init(first),
          do: {:producer, first, dispatcher: Penstock.BroadcastDispatcher, demand: :accumulate}

        @impl true
        def handle_demand(demand, n), do: {:noreply, Enum.to_list(n..(n + demand - 1)), n + demand}
      end

      {:ok, announcer} = Penstock.Stage.start_link(Announcer, 0)
      {:ok, _} = Penstock.Stage.sync_subscribe(first, to: announcer)
      {:ok, _} = Penstock.Stage.sync_subscribe(second, to: announcer, selector: &(rem(&1, 2) == 0))
      :ok = Penstock.Stage.demand(announcer, :forward)

  The dispatcher has no options of its own.

  ## Options of a subscription

  #{Penstock.Options.docs(Penstock.Stage.Options.filter())}
  #{Penstock.Options.docs(Penstock.Stage.Options.broadcast())}

  A selector runs in the producer. When it fails, that subscription is cancelled with the reason
  `{:filter_failed, exception}`, without the events at hand; the producer and the other consumers go on.

  ## Who lags behind

  What becomes of the others when a consumer waits for fewer events than they do is told by its `:lag`:

    * `:block` - they wait for it;
    * `{:drop_oldest, n}` - they go on; the last `n` events that it has missed are kept for it, older ones are
      dropped, with a warning in the log and an event of `Penstock.Telemetry`;
    * `:cancel` - they go on, and its subscription is cancelled with the reason `:lagging`.

  Where no consumer blocks, the one that waits for most sets the pace. A dashboard that must not slow down who
  writes the books:

      Penstock.Stage.sync_subscribe(dashboard, to: announcer, lag: {:drop_oldest, 100}, cancel: :transient)

  A process can subscribe once. Its second subscription is cancelled with the reason `:already_subscribed`, for
  which no consumer ends.
  """

  alias Penstock.Stage.Options

  @doc false
  @spec configure(keyword) :: {:ok, Penstock.Dispatcher.config()} | {:error, message :: String.t()}
  def configure(options) do
    with {:ok, %{}} <- Options.all(options, []), do: {:ok, :broadcast}
  end
end
