defmodule Penstock.Stage.Output.Partition do
  @moduledoc false
  # The half of a dispatcher that gives every event to a consumer of its partition. The native core knows
  # partitions by number and counts; here events are told apart, and wait in a queue for each partition.

  use Penstock.Stage.Output.Dispatching

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{EventQueue, Heap, Options, Output, Subscribers}
  alias __MODULE__

  @enforce_keys [:names, :indexes, :count, :empty, :hash, :limit]
  defstruct [
    :names,
    :indexes,
    :count,
    :empty,
    :hash,
    :limit,
    queues: %{},
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
          queues: %{index => EventQueue.t()},
          infos: :queue.queue(term),
          credited: [index]
        }

  # Up to this many partitions a tuple of lists is the fastest way to sort events.
  @few 16

  # Up to this many new events are told apart before the core is asked whether there is demand for them.
  @quick 64

  # A single partition has every event that no function of the user's has a say in.
  defguardp alone?(own) when own.hash == nil and own.count == 1

  @impl true
  def new({:partition, names, hash, limit}, _type) do
    indexes = names |> Enum.with_index() |> Map.new()
    count = map_size(indexes)
    empty = if count <= @few, do: :erlang.make_tuple(count, []), else: %{}
    # a number that the native core can count to
    limit = if limit == :infinity, do: :infinity, else: min(limit, Options.most())

    {{:partition, length(names), nil},
     %Partition{names: names, indexes: indexes, count: count, empty: empty, hash: hash, limit: limit}}
  end

  @impl true
  def open(output, id, {pid, _tag}, options) do
    with {:ok, output} <- Counted.filter(output, id, options, [:filter]),
         {:ok, index} <- admit(output, pid, options),
         do: {:ok, Counted.subscribe(output, id, {:partition, index})}
  end

  defp admit(%Output{state: %Partition{names: names, indexes: indexes} = own} = output, pid, options) do
    case Options.dispatched(options, Options.partition(names, &Map.fetch(indexes, &1))) do
      {:ok, %{partition: index}} ->
        if full?(output, index, own.limit),
          do: refuse({:partition_taken, Options.get(options, :partition)}, pid, output),
          else: {:ok, index}

      {:error, message} ->
        refuse({:bad_opts, message}, pid, output)
    end
  end

  # Those who hold a full partition and are dead let go of it at once: a successor may be here before the news is.
  defp full?(_output, _index, :infinity), do: false

  defp full?(%Output{core: core, subscribers: %{by_id: by_id}}, index, limit) do
    case Native.stage_holders(core, index, limit) do
      [] ->
        false

      holders ->
        dead = for id <- holders, dead?(by_id[id]), do: Native.stage_cancel(core, id)
        length(holders) - length(dead) >= limit
    end
  end

  defp dead?({pid, _tag}), do: node(pid) == node() and not Process.alive?(pid)

  defp refuse(reason, pid, output) do
    Logger.error(
      "Penstock.Stage producer #{Subscribers.name()} refuses the subscription of #{inspect(pid)}: #{inspect(reason)}"
    )

    {:error, reason, output}
  end

  # Sends new events at once, if there is demand for all and they are so few that it doesn't matter to have found out
  # their partitions in vain.
  @impl true
  def emit(%Output{state: own} = output, events) do
    size = length(events)

    if size <= @quick or alone?(own) do
      case split(output, events, size, size) do
        :later -> Counted.emit(output, events, size)
        output -> {0, output}
      end
    else
      Counted.emit(output, events, size)
    end
  end

  # Sends each event to a consumer of its partition, or queues it there.
  @impl true
  def deal(output, events, size), do: split(output, events, size, 0)

  defp split(%Output{core: core, state: own} = output, events, size, new) when alone?(own) do
    case Native.stage_deal_to(core, new, 0, size) do
      :later -> :later
      dealt -> hand(dealt, events, size, 0, output)
    end
  end

  defp split(%Output{core: core, state: own} = output, [event], 1, new) do
    with {event, index} <- locate(event, own),
         dealt when dealt != :later <- Native.stage_deal_to(core, new, index, 1) do
      hand(dealt, [event], 1, index, output)
    else
      :later -> :later
      :none -> if new > 0, do: :later, else: without_partition(1, core, output)
    end
  end

  defp split(%Output{core: core, state: %Partition{empty: empty} = own} = output, events, size, new)
       when is_tuple(empty) do
    lists = events |> sort(own, empty) |> :erlang.tuple_to_list()
    {counts, none} = count(lists, size)

    case Native.stage_split(core, new, counts, none) do
      :later ->
        :later

      deals ->
        output = hand_all(lists, counts, deals, 0, output)
        if none > 0, do: Output.flow_soon(output), else: output
    end
  end

  defp split(_output, _events, _size, new) when new > 0, do: :later

  defp split(%Output{core: core, state: own} = output, events, size, 0) do
    lists = events |> sort(own, own.empty) |> Map.to_list()

    {none, output} =
      Enum.reduce(lists, {size, output}, fn {index, events}, {none, output} ->
        n = length(events)
        dealt = Native.stage_deal_to(core, 0, index, n)
        {none - n, hand(dealt, :lists.reverse(events), n, index, output)}
      end)

    if none > 0, do: without_partition(none, core, output), else: output
  end

  defp without_partition(none, core, output) do
    [] = Native.stage_split(core, 0, [], none)
    Output.flow_soon(output)
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

  defp hand_all([], [], [], _index, output), do: output

  defp hand_all([_ | lists], [0 | counts], [_ | deals], index, output),
    do: hand_all(lists, counts, deals, index + 1, output)

  defp hand_all([events | lists], [n | counts], [dealt | deals], index, output) do
    events = if n == 1, do: events, else: :lists.reverse(events)
    output = hand(dealt, events, n, index, output)
    hand_all(lists, counts, deals, index + 1, output)
  end

  defp hand(id, events, _n, _index, output) when is_integer(id), do: Output.deliver(output, id, events)
  defp hand([], [], 0, _index, output), do: output

  # One call of the core deals to so many at most.
  defp hand([:more], events, n, index, %Output{core: core} = output),
    do: core |> Native.stage_deal_to(0, index, n) |> hand(events, n, index, output)

  defp hand([], events, n, index, %Output{state: %Partition{queues: queues} = own} = output) do
    Heap.make_room(events, n)

    queue =
      case queues do
        %{^index => queue} -> queue
        %{} -> EventQueue.new()
      end

    %{output | state: %{own | queues: Map.put(queues, index, EventQueue.put(queue, events, n))}}
  end

  defp hand([{id, now} | deals], events, n, index, output) do
    {events, later} = :lists.split(now, events)
    hand(deals, later, n - now, index, Output.deliver(output, id, events))
  end

  # Events by partition, newest first: in a tuple when partitions are few, in a map otherwise.
  defp sort(events, %Partition{hash: nil, count: count}, lists), do: by_phash(events, count, lists)

  defp sort(events, %Partition{hash: hash, indexes: indexes} = own, lists),
    do: by_hash(events, hash, indexes, own, lists)

  defp by_phash([], _count, lists), do: lists

  defp by_phash([event | events], count, lists),
    do: by_phash(events, count, add(lists, :erlang.phash2(event, count), event))

  defp by_hash([], _hash, _indexes, _own, lists), do: lists

  defp by_hash([event | events], hash, indexes, own, lists) do
    case hash.(event) do
      {event, name} when is_map_key(indexes, name) ->
        by_hash(events, hash, indexes, own, add(lists, :erlang.map_get(name, indexes), event))

      :none ->
        by_hash(events, hash, indexes, own, lists)

      other ->
        wrong(other, event, own)
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

  defp locate(event, %Partition{hash: hash, indexes: indexes} = own) do
    case hash.(event) do
      {event, name} when is_map_key(indexes, name) -> {event, :erlang.map_get(name, indexes)}
      :none -> :none
      other -> wrong(other, event, own)
    end
  end

  @spec wrong(term, term, t) :: no_return
  defp wrong(returned, event, %Partition{names: names}) do
    raise ArgumentError,
          "expected :hash of Penstock.PartitionDispatcher to return {event, partition} or :none, partition being " <>
            "one of #{inspect(names)}, got: #{inspect(returned)} for the event #{inspect(event)}"
  end

  # Notes a partition to serve with the next `flow/1`.
  @impl true
  def credited(%Output{state: own} = output, index),
    do: %{output | state: %{own | credited: [index | own.credited]}}

  @impl true
  def flow(output), do: output |> serve_credited() |> Counted.flow()

  defp serve_credited(%Output{state: %Partition{credited: []}} = output), do: output

  defp serve_credited(%Output{core: core, state: %Partition{credited: [index | credited]} = own} = output) do
    %{output | state: %{own | credited: credited}}
    |> unqueue(Native.stage_serve(core, index), index)
    |> serve_credited()
  end

  # Sends from a partition's queue what its consumers wait for.
  @impl true
  def served(output, _id, {index, served}), do: unqueue(output, served, index)

  defp unqueue(output, [], _index), do: output

  defp unqueue(%Output{core: core} = output, [:more], index),
    do: unqueue(output, Native.stage_serve(core, index), index)

  defp unqueue(%Output{state: own} = output, [:mark | served], index) do
    {{:value, message}, infos} = :queue.out(own.infos)
    send(self(), message)
    unqueue(%{output | state: %{own | infos: infos}}, served, index)
  end

  defp unqueue(%Output{state: %Partition{queues: queues} = own} = output, [{id, n} | served], index) do
    {events, queue} = EventQueue.take(:erlang.map_get(index, queues), n)

    %{output | state: %{own | queues: %{queues | index => queue}}}
    |> Output.deliver(id, events)
    |> unqueue(served, index)
  end

  @impl true
  def info(%Output{core: core, state: own} = output, message) do
    if Native.stage_mark_queues(core),
      do: %{output | state: %{own | infos: :queue.in(message, own.infos)}},
      else: Counted.info(output, message)
  end
end
