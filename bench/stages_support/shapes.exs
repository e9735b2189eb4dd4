defmodule Stages.Holder do
  @moduledoc "A producer whose events all hold one map that it has."

  def init(size), do: {:producer, Map.new(1..size, &{&1, {&1, "value #{&1}"}}), buffer_size: :infinity}
  def handle_demand(_n, map), do: {:noreply, [], map}

  def handle_call({:fill, from, n}, _from, map),
    do: {:reply, :ok, for(i <- from..(from + n - 1), do: {i, map}), map}
end

defmodule Stages.Member do
  @moduledoc "A producer that emits what it is told to, to whoever has subscribed."

  def init(dispatcher), do: {:producer, nil, dispatcher: dispatcher}
  def handle_demand(_n, state), do: {:noreply, [], state}
  def handle_call({:emit, events}, _from, state), do: {:reply, :ok, events, state}
end

defmodule Stages.Idler do
  @moduledoc "A consumer that does nothing with what it gets."

  def init(subscription), do: {:consumer, nil, subscribe_to: [subscription]}
  def handle_events(_events, _from, state), do: {:noreply, [], state}
end

defmodule Stages.Shapes do
  @moduledoc """
  What stages take of memory, or of time, where it is not events a second that counts: how much of it the stock library takes
  for one unit of ours.
  """

  # After so many ms a stage without work has noticed that, in ms.
  @rest 5000

  @doc "Of each library, in bytes, what `sharing` and `idle` take once nothing has happened for a while."
  def memory(libraries, consumers) do
    alone(fn ->
      sharing = for library <- libraries, do: filled(library, 40_000)
      idle = for library <- libraries, do: consumers(library, consumers)
      Process.sleep(@rest)
      %{sharing: Enum.map(sharing, &taken/1), idle: Enum.map(idle, &div(size(&1), consumers))}
    end)
  end

  # A buffer of so many events that hold a map of 500 entries together; and what the VM had outside of processes before.
  defp filled(library, n) do
    {:ok, producer} = library.stage.start_link(Stages.Holder, 500)
    before = :erlang.memory(:system)
    for from <- 1..n//500, do: :ok = library.stage.call(producer, {:fill, from, 500})
    {producer, :erlang.memory(:system) - before}
  end

  defp taken({producer, outside}), do: size([producer]) + max(outside, 0)

  # So many that have had some small messages, more than a few in a short time.
  defp consumers(library, n) do
    {:ok, producer} = library.stage.start_link(Stages.Member, library.broadcast)

    consumers =
      for _ <- 1..n do
        {:ok, pid} = library.stage.start_link(Stages.Idler, {producer, max_demand: 10})
        pid
      end

    for _ <- 1..20, do: :ok = library.stage.call(producer, {:emit, [1, 2]})
    consumers
  end

  defp size(pids) do
    Enum.sum(
      for pid <- pids do
        {:memory, bytes} = Process.info(pid, :memory)
        bytes
      end
    )
  end

  @doc "Nanoseconds in which so many subscribe, ask, get an event and leave; of the three dispatchers, one by one."
  def subscribers(library, n) do
    for dispatcher <- [library.demand, library.broadcast, {library.partition, partitions: n}] do
      alone(fn ->
        pids = for _ <- 1..n, do: spawn_link(fn -> receive do: (:never -> :ok) end)
        members = Enum.zip(pids, 0..(n - 1))
        {:ok, producer} = library.stage.start_link(Stages.Member, dispatcher)
        began = System.monotonic_time(:nanosecond)

        for {pid, number} <- members do
          send(producer, {:"$gen_producer", {pid, number}, {:subscribe, nil, [partition: number]}})
          send(producer, {:"$gen_producer", {pid, number}, {:ask, 10}})
        end

        :ok = library.stage.call(producer, {:emit, [1, 2, 3]}, 120_000)

        for {pid, number} <- members,
            do: send(producer, {:"$gen_producer", {pid, number}, {:cancel, :normal}})

        :ok = library.stage.call(producer, {:emit, [4]}, 120_000)
        System.monotonic_time(:nanosecond) - began
      end)
    end
  end

  # In a process of its own, whose links end all that it has started.
  defp alone(measure) do
    bench = self()
    {pid, monitor} = spawn_monitor(fn -> send(bench, {:measured, self(), measure.()}) && exit(:shutdown) end)

    receive do
      {:measured, ^pid, result} ->
        receive do: ({:DOWN, ^monitor, _, _, _} -> result)

      {:DOWN, ^monitor, _, _, reason} ->
        exit(reason)
    end
  end
end
