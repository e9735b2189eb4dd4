defmodule Penstock.PartitionDispatcher do
  @moduledoc """
  Gives every event to a consumer of the event's partition, so that events of one partition stay in order.

      defmodule Numbers do
        use Penstock.Stage

        @impl true
        def init(first) do
          hash = fn n -> {n, if(rem(n, 2) == 0, do: :even, else: :odd)} end
          {:producer, first, dispatcher: {Penstock.PartitionDispatcher, partitions: [:even, :odd], hash: hash}}
        end

        @impl true
        def handle_demand(demand, n), do: {:noreply, Enum.to_list(n..(n + demand - 1)), n + demand}
      end

      {:ok, numbers} = Penstock.Stage.start_link(Numbers, 0)
      {:ok, _} = Penstock.Stage.sync_subscribe(consumer, to: numbers, partition: :even)

  ## Options

    * `:partitions` - required: an integer `n`, for partitions named `0` to `n - 1`, or an enumerable of names.
    * `:hash` - a function of the event, which returns `{event, partition}`, where the event may be another one, or
      `:none` to discard it; the producer is asked for another event then. By default the partition is
      `:erlang.phash2(event, n)`, for which the partitions have to be named `0` to `n - 1`.
    * `:consumers_per_partition` - how many consumers may share a partition: 1 by default, or any other positive
      integer, or `:infinity`. Each event goes to one of them, to the one that waits for most, so the order of a
      partition's events is kept only for each of its consumers.

  The hash runs in the producer. When it returns anything else, or a partition that there is not, the producer ends
  with an `ArgumentError` that shows what it returned; when it raises, with that exception.

  ## Options of a subscription

    * `:partition` - required: the name of the partition.
    * `:filter` - which events the consumer wants: see `Penstock.Dispatcher`.

  A subscription without a `:partition`, or for one that there is not, is cancelled with `{:bad_opts, message}`, and
  one for a partition that has all the consumers that it may have with `{:partition_taken, name}`. The producer and
  its other consumers go on.

  ## Queues

  The producer can't be asked for events of one partition. What comes for a partition whose consumers wait for
  nothing is queued for them; all queues together never hold more than all consumers together have asked for. When a
  partition gets much more than its share, or has no consumer, the others wait for it in the end. A queue stays when
  its consumer ends, and goes to the next one.
  """

  alias Penstock.Stage.Options

  @doc false
  @spec configure(keyword) :: {:ok, Penstock.Dispatcher.config()} | {:error, message :: String.t()}
  def configure(options) do
    with {:ok, names, options} <- partitions(options),
         {:ok, names, hash, options} <- hash(options, names),
         {:ok, consumers, options} <- consumers(options),
         :ok <- Options.none_left(options) do
      {:ok, {:partition, names, hash, consumers}}
    end
  end

  defp partitions(options) do
    {partitions, options} = Keyword.pop(options, :partitions)

    with {:ok, names} <- names(partitions) do
      cond do
        names == [] ->
          expected_partitions("not to be empty", partitions)

        partitions != length(names) and Enum.uniq(names) != names ->
          expected_partitions("to have no name twice", partitions)

        true ->
          {:ok, names, options}
      end
    end
  end

  # Each takes memory before an event has come.
  @most 10_000_000

  defp names(n) when is_integer(n) and n > @most,
    do: expected_partitions("to be at most #{@most}", n)

  defp names(n) when is_integer(n) and n > 0, do: {:ok, Enum.to_list(0..(n - 1))}

  defp names(partitions) do
    if is_list(partitions) or (is_map(partitions) and Enumerable.impl_for(partitions) != nil),
      do: {:ok, Enum.to_list(partitions)},
      else: expected_partitions("to be a positive integer or an enumerable of names", partitions)
  end

  defp expected_partitions(what, got), do: {:error, "expected :partitions #{what}, got: #{inspect(got)}"}

  defp hash(options, names) do
    case Keyword.pop(options, :hash) do
      {nil, options} ->
        numbers = Enum.to_list(0..(length(names) - 1))

        if Enum.sort(names) == numbers,
          do: {:ok, numbers, nil, options},
          else:
            {:error, "expected :hash, for :partitions are not 0 to n - 1 but #{inspect(names)}, got: none"}

      {hash, options} when is_function(hash, 1) ->
        {:ok, names, hash, options}

      {other, _options} ->
        Options.expected(:hash, "a function of one argument", other)
    end
  end

  defp consumers(options) do
    case Keyword.pop(options, :consumers_per_partition, 1) do
      {:infinity, options} -> {:ok, :infinity, options}
      _ -> Options.integer(options, :consumers_per_partition, 1, 1)
    end
  end
end
