defmodule Stages.Source do
  @moduledoc "A producer that has all that it may be asked for at hand, so that nothing but the stages is measured."

  def init({kind, dispatcher}), do: {:producer, {kind, %{}}, dispatcher: dispatcher, demand: :accumulate}

  def handle_demand(n, {kind, lists} = state) do
    case lists do
      %{^n => list} ->
        {:noreply, list, state}

      %{} ->
        list = Stages.Events.list(kind, 1, n)
        {:noreply, list, {kind, Map.put(lists, n, list)}}
    end
  end
end

defmodule Stages.Through do
  @moduledoc "A producer_consumer that passes on what it gets."

  def init(producers), do: {:producer_consumer, :ok, subscribe_to: producers}
  def handle_events(events, _from, state), do: {:noreply, events, state}
end

defmodule Stages.Sink do
  @moduledoc "A consumer that counts, together with others, and says when all have come."

  def init({counter, goal, bench, producers}),
    do: {:consumer, {counter, goal, bench}, subscribe_to: producers}

  def handle_events(events, _from, {counter, goal, bench} = state) do
    n = length(events)

    case :atomics.add_get(counter, 1, n) do
      sum when sum >= goal and sum - n < goal -> send(bench, {:done, counter})
      _ -> :ok
    end

    {:noreply, [], state}
  end
end

defmodule Stages.Flow do
  @moduledoc "Measures how long events take through stages of one library or the other."

  @doc "Nanoseconds for `goal` events, or a little more."
  def time(row, library, goal) do
    started = start(row, library, goal)
    [producer | _] = started.pids
    counter = started.counter
    # all subscriptions and asks have arrived when all have answered
    Enum.each(started.pids, &:sys.get_state/1)
    began = System.monotonic_time(:nanosecond)
    library.stage.demand(producer, :forward)

    took =
      receive do
        {:done, ^counter} -> System.monotonic_time(:nanosecond) - began
      after
        60_000 -> raise "#{row.name}: #{:atomics.get(counter, 1)} of #{goal} events after a minute"
      end

    stop(started.pids)
    took
  end

  defp start(row, library, goal) do
    counter = :atomics.new(1, [])
    {:ok, producer} = library.stage.start(Stages.Source, {row.kind, dispatcher(row, library)})
    options = [max_demand: row.max_demand, min_demand: div(row.max_demand, 2), cancel: :temporary]

    between =
      if row.chain do
        {:ok, pid} = library.stage.start(Stages.Through, [{producer, options}])
        [pid]
      else
        []
      end

    from = List.last([producer | between])

    sinks =
      for n <- 1..row.consumers do
        subscription = if row.dispatcher == :partition, do: [partition: n - 1] ++ options, else: options
        {:ok, pid} = library.stage.start(Stages.Sink, {counter, goal, self(), [{from, subscription}]})
        pid
      end

    %{counter: counter, pids: [producer | between] ++ sinks}
  end

  defp dispatcher(%{dispatcher: :demand}, library), do: library.demand
  defp dispatcher(%{dispatcher: :broadcast}, library), do: library.broadcast
  defp dispatcher(%{dispatcher: :partition, consumers: n}, library), do: {library.partition, partitions: n}

  defp stop(pids) do
    for pid <- pids do
      monitor = Process.monitor(pid)
      Process.exit(pid, :kill)
      receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
    end
  end
end
