defmodule Penstock.Stage.Outlet.Partition do
  @moduledoc false
  # The route of a producer that gives every event to a consumer of its partition. The native core knows
  # partitions by number and counts; here events are told apart, and wait in a queue for each partition.

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{Heap, Options, Outlet, Shelf, Subscribers}
  alias __MODULE__

  @enforce_keys [:names, :indexes, :count, :empty, :hash, :limit]
  defstruct [
    :names,
    :indexes,
    :count,
    :empty,
    :hash,
    :limit,
    shelves: %{},
    infos: :queue.new(),
    credited: []
  ]

  @type index :: non_neg_integer
  @type hash :: nil | (event :: term -> {event :: term, name :: term} | :none)
  @type t :: %Partition{
          names: [term],
          indexes: %{(name :: term) => index},
          count: pos_integer,
          empty: tuple | %{},
          hash: hash,
          limit: pos_integer | :infinity,
          shelves: %{index => Shelf.t()},
          infos: :queue.queue(term),
          credited: [index]
        }

  # Up to this many partitions a tuple of lists is the fastest way to sort events.
  @few 16

  # Up to this many new events are told apart before the core is asked whether there is demand for them.
  @quick 64

  # A single partition has every event that no function of the user's has a say in.
  defguardp alone?(route) when route.hash == nil and route.count == 1

  @spec new([term, ...], hash, pos_integer | :infinity) :: t
  def new(names, hash, limit) do
    indexes = names |> Enum.with_index() |> Map.new()
    count = map_size(indexes)
    empty = if count <= @few, do: :erlang.make_tuple(count, []), else: %{}
    # a number that the native core can count to
    limit = if limit == :infinity, do: :infinity, else: min(limit, Options.most())
    %Partition{names: names, indexes: indexes, count: count, empty: empty, hash: hash, limit: limit}
  end

  @spec open(Outlet.t(), Subscribers.id(), Subscribers.from(), keyword) ::
          {:ok, Outlet.t()} | {:error, reason :: term, Outlet.t()}
  def open(%Outlet{route: route} = outlet, id, {pid, _tag}, options) do
    name = Options.get(options, :partition, Partition)

    case route.indexes do
      %{^name => index} ->
        if full?(outlet, index, route.limit) do
          refuse({:partition_taken, name}, pid, outlet)
        else
          :ok = Native.stage_subscribe(outlet.core, id, index)
          {:ok, outlet}
        end

      %{} ->
        got = if name in [nil, Partition], do: "none", else: inspect(name)

        refuse(
          {:bad_opts, "expected :partition to be one of #{inspect(route.names)}, got: #{got}"},
          pid,
          outlet
        )
    end
  end

  # Those who hold a full partition and are dead let go of it at once: a successor may be here before the news is.
  defp full?(_outlet, _index, :infinity), do: false

  defp full?(%Outlet{core: core, subscribers: %{by_id: by_id}}, index, limit) do
    case Native.stage_holders(core, index, limit) do
      [] ->
        false

      holders ->
        dead = for id <- holders, dead?(by_id[id]), do: Native.stage_cancel(core, id)
        length(holders) - length(dead) >= limit
    end
  end

  defp dead?({pid, _tag}), do: node(pid) == node() and not Process.alive?(pid)

  defp refuse(reason, pid, outlet) do
    Logger.error(
      "Penstock.Stage producer #{Subscribers.name()} refuses the subscription of #{inspect(pid)}: #{inspect(reason)}"
    )

    {:error, reason, outlet}
  end

  @spec close(Outlet.t(), Subscribers.id(), Subscribers.from()) :: Outlet.t()
  def close(outlet, _id, _from), do: outlet

  # Sends new events, if there is demand for all and they are so few that it doesn't matter to have found out
  # their partitions in vain.
  @spec emit(Outlet.t(), [term, ...], pos_integer) :: Outlet.t() | :later
  def emit(%Outlet{route: route} = outlet, events, size) when size <= @quick or alone?(route),
    do: split(outlet, events, size, size)

  def emit(_outlet, _events, _size), do: :later

  # Sends each event to a consumer of its partition, or queues it there.
  @spec deal(Outlet.t(), [term, ...], pos_integer) :: Outlet.t()
  def deal(outlet, events, size), do: split(outlet, events, size, 0)

  defp split(%Outlet{core: core, route: route} = outlet, events, size, new) when alone?(route) do
    case Native.stage_route(core, new, 0, size) do
      :later -> :later
      dealt -> hand(dealt, events, size, 0, outlet)
    end
  end

  defp split(%Outlet{core: core, route: route} = outlet, [event], 1, new) do
    with {event, index} <- locate(event, route),
         dealt when dealt != :later <- Native.stage_route(core, new, index, 1) do
      hand(dealt, [event], 1, index, outlet)
    else
      :later -> :later
      :none -> if new > 0, do: :later, else: unrouted(1, core, outlet)
    end
  end

  defp split(%Outlet{core: core, route: %Partition{empty: empty} = route} = outlet, events, size, new)
       when is_tuple(empty) do
    lists = events |> sort(route, empty) |> :erlang.tuple_to_list()
    {counts, none} = count(lists, size)

    case Native.stage_split(core, new, counts, none) do
      :later ->
        :later

      deals ->
        outlet = hand_all(lists, counts, deals, 0, outlet)
        if none > 0, do: Outlet.flow_soon(outlet), else: outlet
    end
  end

  defp split(_outlet, _events, _size, new) when new > 0, do: :later

  defp split(%Outlet{core: core, route: route} = outlet, events, size, 0) do
    lists = events |> sort(route, route.empty) |> Map.to_list()

    {none, outlet} =
      Enum.reduce(lists, {size, outlet}, fn {index, events}, {none, outlet} ->
        n = length(events)
        dealt = Native.stage_route(core, 0, index, n)
        {none - n, hand(dealt, :lists.reverse(events), n, index, outlet)}
      end)

    if none > 0, do: unrouted(none, core, outlet), else: outlet
  end

  defp unrouted(none, core, outlet) do
    [] = Native.stage_split(core, 0, [], none)
    Outlet.flow_soon(outlet)
  end

  defp count([], none), do: {[], none}

  defp count([[] | lists], none) do
    {counts, none} = count(lists, none)
    {[0 | counts], none}
  end

  defp count([events | lists], none) do
    n = length(events)
    {counts, none} = count(lists, none - n)
    {[n | counts], none}
  end

  defp hand_all([], [], [], _index, outlet), do: outlet

  defp hand_all([_ | lists], [0 | counts], [_ | deals], index, outlet),
    do: hand_all(lists, counts, deals, index + 1, outlet)

  defp hand_all([events | lists], [n | counts], [dealt | deals], index, outlet) do
    events = if n == 1, do: events, else: :lists.reverse(events)
    outlet = hand(dealt, events, n, index, outlet)
    hand_all(lists, counts, deals, index + 1, outlet)
  end

  defp hand(id, events, _n, _index, outlet) when is_integer(id), do: Outlet.deliver(outlet, id, events)
  defp hand([], [], 0, _index, outlet), do: outlet

  defp hand([], events, n, index, %Outlet{route: %Partition{shelves: shelves} = route} = outlet) do
    Heap.make_room(events, n)

    shelf =
      case shelves do
        %{^index => shelf} -> shelf
        %{} -> Shelf.new()
      end

    %{outlet | route: %{route | shelves: Map.put(shelves, index, Shelf.put(shelf, events, n))}}
  end

  defp hand([{id, now} | deals], events, n, index, outlet) do
    {events, later} = :lists.split(now, events)
    hand(deals, later, n - now, index, Outlet.deliver(outlet, id, events))
  end

  # Events by partition, newest first: in a tuple when partitions are few, in a map otherwise.
  defp sort(events, %Partition{hash: nil, count: count}, lists), do: by_phash(events, count, lists)

  defp sort(events, %Partition{hash: hash, indexes: indexes} = route, lists),
    do: by_hash(events, hash, indexes, route, lists)

  defp by_phash([], _count, lists), do: lists

  defp by_phash([event | events], count, lists),
    do: by_phash(events, count, add(lists, :erlang.phash2(event, count), event))

  defp by_hash([], _hash, _indexes, _route, lists), do: lists

  defp by_hash([event | events], hash, indexes, route, lists) do
    case hash.(event) do
      {event, name} when is_map_key(indexes, name) ->
        by_hash(events, hash, indexes, route, add(lists, :erlang.map_get(name, indexes), event))

      :none ->
        by_hash(events, hash, indexes, route, lists)

      other ->
        wrong(other, event, route)
    end
  end

  @compile {:inline, add: 3}
  defp add(lists, index, event) when is_tuple(lists),
    do: :erlang.setelement(index + 1, lists, [event | :erlang.element(index + 1, lists)])

  defp add(lists, index, event) do
    case lists do
      %{^index => events} -> %{lists | index => [event | events]}
      %{} -> Map.put(lists, index, [event])
    end
  end

  defp locate(event, %Partition{hash: nil, count: count}), do: {event, :erlang.phash2(event, count)}

  defp locate(event, %Partition{hash: hash, indexes: indexes} = route) do
    case hash.(event) do
      {event, name} when is_map_key(indexes, name) -> {event, :erlang.map_get(name, indexes)}
      :none -> :none
      other -> wrong(other, event, route)
    end
  end

  @spec wrong(term, term, t) :: no_return
  defp wrong(returned, event, %Partition{names: names}) do
    raise ArgumentError,
          "expected :hash of Penstock.PartitionDispatcher to return {event, partition} or :none, partition being " <>
            "one of #{inspect(names)}, got: #{inspect(returned)} for the event #{inspect(event)}"
  end

  # Notes a partition to serve with the next `serve_credited/1`.
  @spec credited(Outlet.t(), index) :: Outlet.t()
  def credited(%Outlet{route: route} = outlet, index),
    do: %{outlet | route: %{route | credited: [index | route.credited]}}

  @spec serve_credited(Outlet.t()) :: Outlet.t()
  def serve_credited(%Outlet{route: %Partition{credited: []}} = outlet), do: outlet

  def serve_credited(%Outlet{route: %Partition{credited: [index | credited]} = route} = outlet),
    do: %{outlet | route: %{route | credited: credited}} |> serve(index) |> serve_credited()

  # Sends from a partition's queue what its consumers wait for.
  @spec serve(Outlet.t(), index) :: Outlet.t()
  def serve(%Outlet{core: core} = outlet, index),
    do: core |> Native.stage_serve(index) |> unqueue(index, outlet)

  @spec unqueue([{Subscribers.id(), pos_integer} | :mark], index, Outlet.t()) :: Outlet.t()
  def unqueue([], _index, outlet), do: outlet

  def unqueue([:mark | served], index, %Outlet{route: route} = outlet) do
    {{:value, message}, infos} = :queue.out(route.infos)
    send(self(), message)
    unqueue(served, index, %{outlet | route: %{route | infos: infos}})
  end

  def unqueue([{id, n} | served], index, %Outlet{route: %Partition{shelves: shelves} = route} = outlet) do
    {events, shelf} = Shelf.take(:erlang.map_get(index, shelves), n)
    outlet = %{outlet | route: %{route | shelves: %{shelves | index => shelf}}}
    unqueue(served, index, Outlet.deliver(outlet, id, events))
  end

  # Sends a message to the process itself once all that is queued now has been delivered.
  @spec info(Outlet.t(), term) :: Outlet.t()
  def info(%Outlet{core: core, route: route} = outlet, message) do
    if Native.stage_mark_queues(core) do
      %{outlet | route: %{route | infos: :queue.in(message, route.infos)}}
    else
      send(self(), message)
      outlet
    end
  end
end
