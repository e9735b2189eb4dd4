defmodule Penstock.Stage.Outlet do
  @moduledoc false
  # The outgoing side of a producer of terms: subscribers, dispatcher and buffer. The native core decides who
  # gets how many events and when; here the lists are cut accordingly and sent. What is special to a dispatcher
  # is in its route; the one by demand needs none.

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{Heap, Options, Shelf, Sieve, Subscribers, Weighing}
  alias __MODULE__
  alias __MODULE__.{Broadcast, Custom, Partition, Rate, Store}

  @enforce_keys [:core, :dispatcher]
  defstruct [
    :core,
    :dispatcher,
    :route,
    subscribers: Subscribers.new(),
    shelf: Shelf.new(),
    weighing: Weighing.new(),
    infos: :queue.new(),
    sieves: %{},
    flowing?: false
  ]

  @type t :: %Outlet{
          core: reference,
          dispatcher: module,
          route: nil | Broadcast.t() | Partition.t() | Rate.t() | Custom.t(),
          subscribers: Subscribers.t(),
          shelf: Shelf.t(),
          weighing: Weighing.t(),
          infos: :queue.queue(term),
          sieves: %{Subscribers.id() => Sieve.t() | :expelled},
          flowing?: boolean
        }

  @typedoc "Whose events will be that have not come yet."
  @type ahead :: Subscribers.id() | :everyone

  @spec new(
          Penstock.Dispatcher.config(),
          :producer | :producer_consumer,
          non_neg_integer | :infinity,
          :first | :last
        ) ::
          t
  def new({:demand, max_demand, shuffle?}, type, buffer_size, keep),
    do: new({:demand, max_demand, shuffle?, nil}, type, buffer_size, keep)

  def new({:demand, max_demand, shuffle?, rate}, _type, buffer_size, keep) do
    seed = if shuffle?, do: :rand.uniform(4_294_967_296)
    core = Native.stage_new(buffer_size, keep, {:demand, max_demand, seed, rate && elem(rate, 0)})
    %Outlet{core: core, dispatcher: Penstock.DemandDispatcher, route: rate && Rate.new(rate)}
  end

  def new(:broadcast, _type, buffer_size, keep) do
    core = Native.stage_new(buffer_size, keep, :broadcast)
    %Outlet{core: core, dispatcher: Penstock.BroadcastDispatcher, route: %Broadcast{}}
  end

  def new({:partition, names, hash, limit}, _type, buffer_size, keep) do
    core = Native.stage_new(buffer_size, keep, {:partition, length(names)})
    %Outlet{core: core, dispatcher: Penstock.PartitionDispatcher, route: Partition.new(names, hash, limit)}
  end

  def new({:custom, module, state}, type, buffer_size, keep) do
    core = Native.stage_new(buffer_size, keep, {:demand, nil, nil, nil})
    %Outlet{core: core, dispatcher: module, route: Custom.new(module, state, type)}
  end

  # Lets a subscription that `Subscribers.add/2` has noted take part in what is dealt, or says why not.
  @spec open(t, Subscribers.id(), Subscribers.from(), keyword) :: {:ok, t} | {:error, reason :: term, t}
  def open(%Outlet{route: %Custom{}} = outlet, _id, from, options), do: Custom.open(outlet, from, options)

  def open(%Outlet{route: route} = outlet, id, from, options) do
    keys = if match?(%Broadcast{}, route), do: [:filter, :selector], else: [:filter]

    case sieve(options, keys) do
      {:ok, nil} -> admit(outlet, id, from, options)
      {:ok, sieve} -> admit(%{outlet | sieves: Map.put(outlet.sieves, id, sieve)}, id, from, options)
      {:error, message} -> {:error, {:bad_opts, message}, outlet}
    end
  end

  defp sieve(options, keys) do
    with :ok <- Options.of_subscription(options), do: Sieve.new(options, keys)
  end

  defp admit(%Outlet{core: core, route: nil} = outlet, id, _from, _options) do
    :ok = Native.stage_subscribe(core, id, nil)
    {:ok, outlet}
  end

  defp admit(%Outlet{route: %kind{}} = outlet, id, from, options), do: kind.open(outlet, id, from, options)

  @spec close(t, Subscribers.id(), Subscribers.from()) :: t
  def close(%Outlet{route: %Custom{}} = outlet, _id, from), do: Custom.close(outlet, from)

  def close(%Outlet{core: core, route: route} = outlet, id, from) do
    _subscribed? = Native.stage_cancel(core, id)

    outlet =
      if is_map_key(outlet.sieves, id), do: %{outlet | sieves: Map.delete(outlet.sieves, id)}, else: outlet

    if route, do: route.__struct__.close(outlet, id, from), else: outlet
  end

  # Serves demand from the buffer and says how many events are to be asked of the source; the number alone
  # when nothing has changed here.
  @spec ask(t, Subscribers.id(), Subscribers.from(), pos_integer) :: non_neg_integer | {non_neg_integer, t}
  def ask(%Outlet{route: %Custom{}} = outlet, _id, from, n), do: outlet |> Custom.ask(from, n) |> flow()

  def ask(%Outlet{core: core, sieves: sieves} = outlet, id, _from, n) do
    case sieves do
      %{^id => :expelled} -> 0
      %{} -> core |> Native.stage_ask(id, n) |> asked(outlet, id, n)
    end
  end

  # The same for a source that can be asked at once. It may come to be known before whose the events will be that it
  # brings: if it brings as many as it is asked for, they go to `deliver_ahead/4`, otherwise `take_back/3` comes first.
  @spec ask_ahead(t, Subscribers.id(), Subscribers.from(), pos_integer) ::
          non_neg_integer | {non_neg_integer, t} | {:ahead, ahead, pos_integer}
  def ask_ahead(%Outlet{route: route, sieves: sieves} = outlet, id, from, n)
      when is_struct(route, Custom) or map_size(sieves) > 0,
      do: ask(outlet, id, from, n)

  def ask_ahead(%Outlet{core: core} = outlet, id, _from, n) do
    case Native.stage_ask_ahead(core, id, n) do
      upstream when is_integer(upstream) -> upstream
      {:ahead, _to, _n} = ahead -> ahead
      asked -> asked(asked, outlet, id, n)
    end
  end

  @spec deliver_ahead(t, ahead, [term, ...], pos_integer) :: t
  def deliver_ahead(outlet, :everyone, events, n), do: Broadcast.deal(outlet, events, n)
  def deliver_ahead(outlet, id, events, _n), do: deliver(outlet, id, events)

  @spec take_back(t, ahead, pos_integer) :: :ok
  def take_back(%Outlet{core: core}, to, n), do: Native.stage_take_back(core, to, n)

  defp asked(upstream, outlet, _id, _n) when is_integer(upstream), do: {upstream, outlet}
  defp asked(:buffered, outlet, _id, _n), do: flow(outlet)

  defp asked({:queued, partition, served, asked}, outlet, id, n),
    do: asked(asked, Partition.unqueue(served, partition, outlet), id, n)

  defp asked({:lagged, n, asked}, outlet, id, asks),
    do: asked(asked, Broadcast.catch_up(outlet, id, n), id, asks)

  defp asked({:exceeded, max, asked}, outlet, id, n) do
    {pid, _tag} = Map.fetch!(outlet.subscribers.by_id, id)

    Logger.warning(
      "Penstock.Stage producer #{Subscribers.name()} expects a maximum demand of #{max}, and " <>
        "#{inspect(pid)} asked for #{n}: consumers that ask for more than others are served before them"
    )

    asked(asked, outlet, id, n)
  end

  # Serves from the queues and the buffer what may go by now, and says how many events are to be asked of the
  # source.
  @spec flow(t) :: {non_neg_integer, t}
  def flow(%Outlet{route: %Custom{}} = outlet), do: Custom.flow(outlet)

  def flow(%Outlet{route: route} = outlet) do
    outlet = if outlet.flowing?, do: %{outlet | flowing?: false}, else: outlet

    outlet =
      case route do
        %Partition{} -> outlet |> Partition.serve_credited() |> drain()
        %Rate{} -> outlet |> Rate.refill() |> drain() |> Rate.count()
        _ -> drain(outlet)
      end

    {Native.stage_claim(outlet.core), outlet}
  end

  # Has the stage call `flow/1` when it is done with what it is at: demand has grown where nobody asked.
  @spec flow_soon(t) :: t
  def flow_soon(%Outlet{flowing?: true} = outlet), do: outlet

  def flow_soon(%Outlet{} = outlet) do
    send(self(), :"$penstock_flow")
    %{outlet | flowing?: true}
  end

  # Deals new events; what nobody waits for is buffered. Says how many were discarded, unless all events
  # went to one subscriber and nothing has changed here.
  @spec emit(t, [term, ...]) :: :delivered | {discarded :: non_neg_integer, t}
  def emit(%Outlet{route: %Custom{}} = outlet, events) do
    {left, outlet} = Custom.dispatch(outlet, events, length(events))
    Store.put(outlet, left, length(left))
  end

  def emit(%Outlet{route: %Partition{}} = outlet, events) do
    size = length(events)

    case Partition.emit(outlet, events, size) do
      :later -> emit(outlet, events, size)
      outlet -> {0, outlet}
    end
  end

  def emit(%Outlet{route: %Rate{}} = outlet, events) do
    case emit(outlet, events, length(events)) do
      :delivered -> {0, Rate.count(outlet)}
      {discarded, outlet} -> {discarded, Rate.count(outlet)}
    end
  end

  def emit(outlet, events), do: emit(outlet, events, length(events))

  defp emit(%Outlet{core: core} = outlet, events, size) do
    case Native.stage_emit(core, size) do
      id when is_integer(id) and map_size(outlet.sieves) == 0 ->
        Subscribers.deliver(outlet.subscribers, id, events)
        :delivered

      :heap ->
        Heap.make_room(size)
        {0, %{outlet | shelf: Shelf.put(outlet.shelf, events, size)}}

      deals when is_list(deals) ->
        deal(deals, events, size, outlet)

      to ->
        {0, hand(outlet, to, events, size)}
    end
  end

  defp deal([], [], 0, outlet), do: {0, outlet}
  defp deal([], events, size, outlet), do: Store.put(outlet, events, size)
  defp deal([{to, size}], events, size, outlet), do: {0, hand(outlet, to, events, size)}

  defp deal([{to, n} | deals], events, size, outlet) do
    {now, later} = :lists.split(n, events)
    deal(deals, later, size - n, hand(outlet, to, now, n))
  end

  defp hand(outlet, :everyone, events, size), do: Broadcast.deal(outlet, events, size)
  defp hand(outlet, :split, events, size), do: Partition.deal(outlet, events, size)
  defp hand(outlet, id, events, _size), do: deliver(outlet, id, events)

  # Sends a subscription those of its events that it wants; for the others it waits again.
  @spec deliver(t, Subscribers.id(), [term, ...]) :: t
  def deliver(%Outlet{sieves: sieves, subscribers: subscribers} = outlet, id, events) do
    case sieves do
      %{^id => :expelled} -> outlet
      %{^id => sieve} -> sieve |> Sieve.run(events) |> sifted(id, outlet)
      %{} -> send_events(subscribers, id, events, outlet)
    end
  end

  defp send_events(subscribers, id, events, outlet) do
    Subscribers.deliver(subscribers, id, events)
    outlet
  end

  defp sifted({:failed, how}, id, outlet), do: expel(outlet, id, {:filter_failed, how})

  defp sifted({events, unwanted}, id, %Outlet{core: core} = outlet) do
    if events != [], do: Subscribers.deliver(outlet.subscribers, id, events)

    if unwanted == 0 do
      outlet
    else
      outlet =
        case Native.stage_credit(core, id, unwanted) do
          nil -> outlet
          partition -> Partition.credited(outlet, partition)
        end

      flow_soon(outlet)
    end
  end

  # Ends a subscription from within: it gets nothing more, and is cancelled as if its consumer had asked for that.
  @spec expel(t, Subscribers.id(), reason :: term) :: t
  def expel(%Outlet{core: core} = outlet, id, reason) do
    {pid, _tag} = Map.fetch!(outlet.subscribers.by_id, id)

    Logger.error(
      "Penstock.Stage producer #{Subscribers.name()} cancels the subscription of #{inspect(pid)}: #{inspect(reason)}"
    )

    _subscribed? = Native.stage_cancel(core, id)
    # by its number: the tag may be another subscription's by then
    send(self(), {:"$penstock_expelled", id, reason})
    %{outlet | sieves: Map.put(outlet.sieves, id, :expelled)}
  end

  # Sends a message to the process itself once all that is buffered now has been delivered.
  @spec info(t, term) :: t
  def info(%Outlet{core: core, infos: infos} = outlet, message) do
    if Native.stage_mark(core) do
      %{outlet | infos: :queue.in(message, infos)}
    else
      pass(outlet, message)
    end
  end

  defp pass(%Outlet{route: %kind{}} = outlet, message) when kind in [Partition, Custom],
    do: kind.info(outlet, message)

  defp pass(outlet, message) do
    send(self(), message)
    outlet
  end

  # How many events consumers wait for.
  @spec demand(t) :: non_neg_integer
  def demand(%Outlet{route: %Custom{demand: demand}}), do: demand
  def demand(%Outlet{core: core}), do: Native.stage_demand(core)

  # The same of one subscription; a dispatcher of others counts for itself.
  @spec demand_of(t, Subscribers.id()) :: non_neg_integer | :unknown
  def demand_of(%Outlet{route: %Custom{}}, _id), do: :unknown
  def demand_of(%Outlet{core: core}, id), do: Native.stage_demand_of(core, id)

  @spec buffered(t) :: non_neg_integer
  def buffered(%Outlet{core: core}), do: Native.stage_buffered(core)

  # How many of the buffered events are not on the heap.
  @spec off_heap(t) :: non_neg_integer
  def off_heap(%Outlet{core: core}), do: Native.stage_off_heap(core)

  defp drain(%Outlet{core: core} = outlet) do
    case Native.stage_next(core) do
      nil ->
        outlet

      :mark ->
        drain(release(outlet, 1))

      {to, n} when is_integer(n) ->
        {events, shelf} = Shelf.take(outlet.shelf, n)
        drain(hand(%{outlet | shelf: shelf}, to, events, n))

      {to, events} ->
        drain(hand(outlet, to, events, length(events)))
    end
  end

  # Lets the oldest messages go on whose turn in the buffer has come.
  @spec release(t, non_neg_integer) :: t
  def release(outlet, 0), do: outlet

  def release(%Outlet{infos: infos} = outlet, marks) do
    {{:value, message}, infos} = :queue.out(infos)
    release(pass(%{outlet | infos: infos}, message), marks - 1)
  end
end
