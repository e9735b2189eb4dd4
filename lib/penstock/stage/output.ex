defmodule Penstock.Stage.Output do
  @moduledoc false
  # The outgoing side of a producer of terms: subscribers, dispatcher and buffer. The native core decides who
  # gets how many events and when; here the lists are cut accordingly and sent. What differs between dispatchers is
  # in a module for each, their half in Elixir, with a state of its own: see `Penstock.Stage.Output.Dispatching`.

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{EventQueue, Subscribers, SubscriptionFilter, Weighing}
  alias __MODULE__
  alias __MODULE__.{Broadcast, Counted, Custom, Demand, Dispatching, Partition, Rate}

  # The halves' functions that are called for every message are kept as functions: that spares looking them up.
  @enforce_keys [:core, :dispatcher, :half, :state, :counted?, :emit, :deal]
  defstruct [
    :core,
    :dispatcher,
    :half,
    :state,
    :counted?,
    :emit,
    :deal,
    subscribers: Subscribers.new(),
    queue: EventQueue.new(),
    weighing: Weighing.new(),
    infos: :queue.new(),
    filters: %{},
    flowing?: false
  ]

  @type t :: %Output{
          core: reference,
          dispatcher: module,
          half: module,
          state: Dispatching.state(),
          counted?: boolean,
          emit: (t, [term, ...] -> :delivered | {discarded :: non_neg_integer, t}),
          deal: (t, [term, ...], pos_integer -> t),
          subscribers: Subscribers.t(),
          queue: EventQueue.t(),
          weighing: Weighing.t(),
          infos: :queue.queue(term),
          filters: %{Subscribers.id() => SubscriptionFilter.t() | :expelled},
          flowing?: boolean
        }

  @spec new(
          Penstock.Dispatcher.config(),
          :producer | :producer_consumer,
          non_neg_integer | :infinity,
          :first | :last
        ) :: t
  def new(config, type, buffer_size, keep) do
    {half, dispatcher} = half(config)
    {core, state} = half.new(config, type)

    %Output{
      core: Native.stage_new(buffer_size, keep, core),
      dispatcher: dispatcher,
      half: half,
      state: state,
      counted?: half.counted?(),
      emit: &half.emit/2,
      # optional: who deals to one at a time is never asked to
      deal: Function.capture(half, :deal, 3)
    }
  end

  # The only place that asks which dispatcher it is.
  defp half({:demand, _max, _shuffle?}), do: {Demand, Penstock.DemandDispatcher}
  defp half({:demand, _max, _shuffle?, _rate}), do: {Rate, Penstock.DemandDispatcher}
  defp half(:broadcast), do: {Broadcast, Penstock.BroadcastDispatcher}
  defp half({:partition, _names, _hash, _limit}), do: {Partition, Penstock.PartitionDispatcher}
  defp half({:custom, module, _state}), do: {Custom, module}

  # Lets a subscription that `Subscribers.add/2` has noted take part in what is dealt, or says why not.
  @spec open(t, Subscribers.id(), Subscribers.from(), keyword) :: {:ok, t} | {:error, reason :: term, t}
  def open(%Output{half: half} = output, id, from, options), do: half.open(output, id, from, options)

  @spec close(t, Subscribers.id(), Subscribers.from()) :: t
  def close(%Output{half: half} = output, id, from), do: half.close(output, id, from)

  # Serves demand from the buffer and says how many events are to be asked of the source; the number alone
  # when nothing has changed here.
  @spec ask(t, Subscribers.id(), Subscribers.from(), pos_integer) :: Dispatching.asked()
  def ask(%Output{half: half} = output, id, from, n), do: half.ask(output, id, from, n)

  # The same for a source that can be asked at once. It may come to be known before whose the events will be that it
  # brings: if it brings as many as it is asked for, they go to `deliver_ahead/4`, otherwise `take_back/3` comes first.
  @spec ask_ahead(t, Subscribers.id(), Subscribers.from(), pos_integer) :: Dispatching.asked_ahead()
  def ask_ahead(%Output{core: core, counted?: true, filters: filters} = output, id, _from, n)
      when map_size(filters) == 0 do
    case Native.stage_ask_ahead(core, id, n) do
      upstream when is_integer(upstream) -> upstream
      {:ahead, _to, _n} = ahead -> ahead
      asked -> Counted.asked(asked, output, id, n)
    end
  end

  def ask_ahead(output, id, from, n), do: ask(output, id, from, n)

  @spec deliver_ahead(t, Dispatching.recipient(), [term, ...], pos_integer) :: t
  def deliver_ahead(output, to, events, n), do: hand(output, to, events, n)

  @spec take_back(t, Dispatching.recipient(), pos_integer) :: :ok
  def take_back(%Output{core: core}, to, n), do: Native.stage_take_back(core, to, n)

  # Serves from the queues and the buffer what may go by now, and says how many events are to be asked of the
  # source.
  @spec flow(t) :: {non_neg_integer, t}
  def flow(%Output{flowing?: true} = output), do: flow(%{output | flowing?: false})
  def flow(%Output{half: half} = output), do: half.flow(output)

  # Has the stage call `flow/1` when it is done with what it is at: demand has grown where nobody asked.
  @spec flow_soon(t) :: t
  def flow_soon(%Output{flowing?: true} = output), do: output

  def flow_soon(%Output{} = output) do
    send(self(), :"$penstock_flow")
    %{output | flowing?: true}
  end

  # Deals new events; what nobody waits for is buffered. Says how many were discarded, unless all events
  # went to one subscriber and nothing has changed here.
  @spec emit(t, [term, ...]) :: :delivered | {discarded :: non_neg_integer, t}
  def emit(%Output{emit: emit} = output, events), do: emit.(output, events)

  # Hands over events that the core has dealt: to one subscription, or to those of whom the dispatcher's half knows.
  @spec hand(t, Dispatching.recipient(), [term, ...], pos_integer) :: t
  def hand(output, id, events, _n) when is_integer(id), do: deliver(output, id, events)
  def hand(%Output{deal: deal} = output, _several, events, n), do: deal.(output, events, n)

  # Sends a subscription those of its events that it wants; for the others it waits again.
  @spec deliver(t, Subscribers.id(), [term, ...]) :: t
  def deliver(%Output{filters: filters, subscribers: subscribers} = output, id, events) do
    case filters do
      %{^id => :expelled} -> output
      %{^id => filter} -> filter |> SubscriptionFilter.run(events) |> deliver_wanted(id, output)
      %{} -> send_events(subscribers, id, events, output)
    end
  end

  defp send_events(subscribers, id, events, output) do
    Subscribers.deliver(subscribers, id, events)
    output
  end

  defp deliver_wanted({:failed, how}, id, output), do: expel(output, id, {:filter_failed, how})

  defp deliver_wanted({events, unwanted}, id, %Output{core: core, half: half} = output) do
    if events != [], do: Subscribers.deliver(output.subscribers, id, events)

    if unwanted == 0 do
      output
    else
      output =
        case Native.stage_credit(core, id, unwanted) do
          nil -> output
          queue -> half.credited(output, queue)
        end

      flow_soon(output)
    end
  end

  # Ends a subscription from within: it gets nothing more, and is cancelled as if its consumer had asked for that.
  @spec expel(t, Subscribers.id(), reason :: term) :: t
  def expel(%Output{core: core} = output, id, reason) do
    {pid, _tag} = Map.fetch!(output.subscribers.by_id, id)

    Logger.error(
      "Penstock.Stage producer #{Subscribers.name()} cancels the subscription of #{inspect(pid)}: #{inspect(reason)}"
    )

    _subscribed? = Native.stage_cancel(core, id)
    # by its number: the tag may be another subscription's by then
    send(self(), {:"$penstock_expelled", id, reason})
    %{output | filters: Map.put(output.filters, id, :expelled)}
  end

  # Sends a message to the process itself once all that is buffered now has been delivered.
  @spec info(t, term) :: t
  def info(%Output{core: core, half: half, infos: infos} = output, message) do
    if Native.stage_mark(core),
      do: %{output | infos: :queue.in(message, infos)},
      else: half.info(output, message)
  end

  # Lets the oldest messages go on whose turn in the buffer has come.
  @spec release(t, non_neg_integer) :: t
  def release(output, 0), do: output

  def release(%Output{infos: infos, half: half} = output, marks) do
    {{:value, message}, infos} = :queue.out(infos)
    release(half.info(%{output | infos: infos}, message), marks - 1)
  end

  # How many events consumers wait for.
  @spec demand(t) :: non_neg_integer
  def demand(%Output{half: half} = output), do: half.demand(output)

  # The same of one subscription; a dispatcher of others counts for itself.
  @spec demand_of(t, Subscribers.id()) :: non_neg_integer | :unknown
  def demand_of(%Output{half: half} = output, id), do: half.demand_of(output, id)

  @spec buffered(t) :: non_neg_integer
  def buffered(%Output{core: core}), do: Native.stage_buffered(core)

  # How many of the buffered events are not on the heap.
  @spec off_heap(t) :: non_neg_integer
  def off_heap(%Output{core: core}), do: Native.stage_off_heap(core)
end
