defmodule Penstock.Stage.Outlet.Partition do
  @moduledoc false
  # The route of a producer that gives every event to a consumer of its partition. The native core knows
  # partitions by number and counts; here events are told apart, and wait in a queue for each partition.

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{Outlet, Shelf, Subscribers}
  alias __MODULE__

  @enforce_keys [:names, :indexes, :hash, :limit]
  defstruct [:names, :indexes, :hash, :limit, members: %{}, shelves: %{}, infos: :queue.new(), credited: []]

  @type index :: non_neg_integer
  @type hash :: nil | (event :: term -> {event :: term, name :: term} | :none)
  @type t :: %Partition{
          names: [term],
          indexes: %{(name :: term) => index},
          hash: hash,
          limit: pos_integer | :infinity,
          members: %{Subscribers.id() => {index, pid}},
          shelves: %{index => Shelf.t()},
          infos: :queue.queue(term),
          credited: [index]
        }

  # Up to this many partitions a tuple of lists is the fastest way to sort events.
  @few 16

  @spec new([term, ...], hash, pos_integer | :infinity) :: t
  def new(names, hash, limit) do
    indexes = names |> Enum.with_index() |> Map.new()
    %Partition{names: names, indexes: indexes, hash: hash, limit: limit}
  end

  @spec open(Outlet.t(), Subscribers.id(), Subscribers.from(), keyword) ::
          {:ok, Outlet.t()} | {:error, reason :: term, Outlet.t()}
  def open(%Outlet{route: route} = outlet, id, {pid, _tag}, options) do
    with {:ok, name} <- Keyword.fetch(options, :partition),
         {:ok, index} <- Map.fetch(route.indexes, name) do
      {outlet, holders} = living(outlet, index)

      if holders < route.limit do
        :ok = Native.stage_subscribe(outlet.core, id, index)
        {:ok, put_in(outlet.route.members[id], {index, pid})}
      else
        refuse({:partition_taken, name}, pid, outlet)
      end
    else
      :error ->
        got = if options[:partition] == nil, do: "none", else: inspect(options[:partition])

        refuse(
          {:bad_opts, "expected :partition to be one of #{inspect(route.names)}, got: #{got}"},
          pid,
          outlet
        )
    end
  end

  # How many hold a partition. A dead one makes room at once: its successor may be here before the news is.
  defp living(%Outlet{route: route} = outlet, index) do
    {dead, living} =
      route.members
      |> Enum.filter(&match?({_id, {^index, _pid}}, &1))
      |> Enum.split_with(fn {_id, {_index, pid}} -> node(pid) == node() and not Process.alive?(pid) end)

    for {id, _} <- dead, do: Native.stage_cancel(outlet.core, id)
    members = Map.drop(route.members, Enum.map(dead, &elem(&1, 0)))
    {%{outlet | route: %{route | members: members}}, length(living)}
  end

  defp refuse(reason, pid, outlet) do
    Logger.error(
      "Penstock.Stage producer #{Subscribers.name()} refuses the subscription of #{inspect(pid)}: #{inspect(reason)}"
    )

    {:error, reason, outlet}
  end

  @spec close(Outlet.t(), Subscribers.id(), Subscribers.from()) :: Outlet.t()
  def close(%Outlet{route: route} = outlet, id, _from),
    do: %{outlet | route: %{route | members: Map.delete(route.members, id)}}

  # Sends each event to a consumer of its partition, or queues it there.
  @spec deal(Outlet.t(), [term, ...], pos_integer) :: Outlet.t()
  def deal(%Outlet{core: core, route: route} = outlet, events, size) do
    sorted = sort(events, route)
    counts = for {index, events} <- sorted, do: {index, length(events)}
    none = Enum.reduce(counts, size, fn {_index, n}, rest -> rest - n end)
    deals = Native.stage_split(core, counts, none)
    outlet = hand(sorted, counts, deals, outlet)
    if none > 0, do: Outlet.flow_soon(outlet), else: outlet
  end

  defp hand([], [], [], outlet), do: outlet

  defp hand([{index, events} | sorted], [{index, n} | counts], [deals | rest], outlet),
    do: hand(sorted, counts, rest, hand(deals, index, :lists.reverse(events), n, outlet))

  defp hand([{id, n}], _index, events, n, outlet), do: Outlet.deliver(outlet, id, events)

  defp hand([{id, now} | deals], index, events, n, outlet) do
    {events, later} = :lists.split(now, events)
    hand(deals, index, later, n - now, Outlet.deliver(outlet, id, events))
  end

  defp hand([], _index, [], 0, outlet), do: outlet

  defp hand([], index, events, n, %Outlet{route: route} = outlet) do
    shelf = Map.get_lazy(route.shelves, index, &Shelf.new/0)
    %{outlet | route: %{route | shelves: Map.put(route.shelves, index, Shelf.put(shelf, events, n))}}
  end

  # Events by partition, newest first; only the partitions that have any.
  defp sort(events, %Partition{hash: nil, indexes: indexes}) do
    case map_size(indexes) do
      count when count <= @few -> events |> by_phash(count, empty(count)) |> filled()
      count -> events |> Enum.group_by(&:erlang.phash2(&1, count)) |> reversed()
    end
  end

  defp sort(events, %Partition{indexes: indexes} = route) when map_size(indexes) <= @few,
    do: events |> by_hash(route, indexes, empty(map_size(indexes))) |> filled()

  defp sort(events, %Partition{indexes: indexes} = route),
    do: events |> by_hash(route, indexes, %{}) |> Map.to_list()

  defp empty(count), do: :erlang.make_tuple(count, [])

  defp by_phash([], _count, lists), do: lists

  defp by_phash([event | events], count, lists) do
    at = :erlang.phash2(event, count) + 1
    by_phash(events, count, :erlang.setelement(at, lists, [event | :erlang.element(at, lists)]))
  end

  defp by_hash([], _route, _indexes, lists), do: lists

  defp by_hash([event | events], %Partition{hash: hash} = route, indexes, lists) do
    case hash.(event) do
      {event, name} when is_map_key(indexes, name) ->
        by_hash(events, route, indexes, add(lists, :erlang.map_get(name, indexes), event))

      :none ->
        by_hash(events, route, indexes, lists)

      other ->
        wrong(other, event, route)
    end
  end

  defp add(lists, index, event) when is_tuple(lists),
    do: :erlang.setelement(index + 1, lists, [event | :erlang.element(index + 1, lists)])

  defp add(lists, index, event) do
    case lists do
      %{^index => events} -> %{lists | index => [event | events]}
      %{} -> Map.put(lists, index, [event])
    end
  end

  @spec wrong(term, term, t) :: no_return
  defp wrong(returned, event, %Partition{names: names}) do
    raise ArgumentError,
          "expected :hash of Penstock.PartitionDispatcher to return {event, partition} or :none, partition being " <>
            "one of #{inspect(names)}, got: #{inspect(returned)} for the event #{inspect(event)}"
  end

  defp filled(lists) do
    for {[_ | _] = events, index} <- lists |> :erlang.tuple_to_list() |> Enum.with_index(),
        do: {index, events}
  end

  defp reversed(groups), do: for({index, events} <- groups, do: {index, :lists.reverse(events)})

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
    do: core |> Native.stage_serve(index) |> Enum.reduce(outlet, &unqueue(&1, index, &2))

  defp unqueue(:mark, _index, %Outlet{route: route} = outlet) do
    {{:value, message}, infos} = :queue.out(route.infos)
    send(self(), message)
    %{outlet | route: %{route | infos: infos}}
  end

  defp unqueue({id, n}, index, %Outlet{route: route} = outlet) do
    {events, shelf} = Shelf.take(Map.fetch!(route.shelves, index), n)
    Outlet.deliver(%{outlet | route: %{route | shelves: Map.put(route.shelves, index, shelf)}}, id, events)
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
