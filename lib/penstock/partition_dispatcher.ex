defmodule Penstock.PartitionDispatcher do
  alias Penstock.Stage.Options

  @options [
    partitions: [
      type: {:cast, &__MODULE__.names/1, "a positive integer or an enumerable of names"},
      required: true,
      doc: "An integer `n`, for partitions named `0` to `n - 1`, or an enumerable of names."
    ],
    hash: [
      type: {:or, nil, {:check, &__MODULE__.hash?/1, "a function of one argument"}},
      default: nil,
      doc:
        "A function of the event, which returns `{event, partition}`, where the event may be another one, or " <>
          "`:none` to discard it; the producer is asked for another event then. With nil the partition is " <>
          "`:erlang.phash2(event, n)`, for which the partitions have to be named `0` to `n - 1`."
    ],
    consumers_per_partition: [
      type: {:or, :infinity, {:integer, 1, :infinity}},
      default: 1,
      doc:
        "How many consumers may share a partition. Each event goes to one of them, to the one that waits for most, so " <>
          "the order of a partition's events is kept only for each of its consumers."
    ]
  ]

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

  #{Penstock.Options.docs(@options)}

  The hash runs in the producer. When it returns anything else, or a partition that there is not, the producer ends
  with an `ArgumentError` that shows what it returned; when it raises, with that exception.

  ## Options of a subscription

  #{Penstock.Options.docs(Penstock.Stage.Options.partition())}
  #{Penstock.Options.docs(Penstock.Stage.Options.filter())}

  A subscription without a `:partition`, or for one that there is not, is cancelled with `{:bad_opts, message}`, and
  one for a partition that has all the consumers that it may have with `{:partition_taken, name}`. The producer and
  its other consumers go on.

  ## Queues

  The producer can't be asked for events of one partition. What comes for a partition whose consumers wait for
  nothing is queued for them; all queues together never hold more than all consumers together have asked for. When a
  partition gets much more than its share, or has no consumer, the others wait for it in the end. A queue stays when
  its consumer ends, and goes to the next one.
  """

  @doc false
  @spec configure(keyword) :: {:ok, Penstock.Dispatcher.config()} | {:error, message :: String.t()}
  def configure(options) do
    # what is missing is said like what is wrong
    with {:ok, settings} <- options |> Keyword.put_new(:partitions, nil) |> Options.all(@options),
         {:ok, names} <- in_order(settings.partitions, settings.hash),
         do: {:ok, {:partition, names, settings.hash, settings.consumers_per_partition}}
  end

  @doc false
  # The names of the partitions.
  def names(partitions) do
    with {:ok, names} <- listed(partitions) do
      cond do
        names == [] ->
          expected("not to be empty", partitions)

        partitions != length(names) and Enum.uniq(names) != names ->
          expected("to have no name twice", partitions)

        true ->
          {:ok, names}
      end
    end
  end

  # Each takes memory before an event has come.
  @most 10_000_000

  defp listed(n) when is_integer(n) and n > @most, do: expected("to be at most #{@most}", n)
  defp listed(n) when is_integer(n) and n > 0, do: {:ok, Enum.to_list(0..(n - 1))}

  defp listed(partitions) do
    if is_list(partitions) or (is_map(partitions) and Enumerable.impl_for(partitions) != nil),
      do: {:ok, Enum.to_list(partitions)},
      else: expected("to be a positive integer or an enumerable of names", partitions)
  end

  defp expected(what, got), do: {:error, "expected :partitions #{what}, got: #{inspect(got)}"}

  defp in_order(names, nil) do
    numbers = Enum.to_list(0..(length(names) - 1))

    if Enum.sort(names) == numbers,
      do: {:ok, numbers},
      else: {:error, "expected :hash, for :partitions are not 0 to n - 1 but #{inspect(names)}, got: none"}
  end

  defp in_order(names, _hash), do: {:ok, names}

  @doc false
  def hash?(hash), do: is_function(hash, 1)
end
