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

  def kinds(quick?) do
    [
      {"sharing", &sharing/2, 40_000},
      {"idle", &idle/2, if(quick?, do: 1000, else: 3000)},
      {"subscribers", &subscribers/2, if(quick?, do: 5000, else: 20_000)}
    ]
  end

  @doc "Bytes that a buffer of so many events takes that hold a map of 500 entries together."
  def sharing(library, n) do
    alone(fn ->
      {:ok, producer} = library.stage.start_link(Stages.Holder, 500)
      before = memory()
      for from <- 1..n//500, do: :ok = library.stage.call(producer, {:fill, from, 500})
      memory() - before
    end)
  end

  @doc "Bytes that a consumer takes, one of so many that have handled a few events and are at rest."
  def idle(library, n) do
    alone(fn ->
      {:ok, producer} = library.stage.start_link(Stages.Member, library.broadcast)
      before = :erlang.memory(:processes)

      consumers =
        for _ <- 1..n do
          {:ok, pid} = library.stage.start_link(Stages.Idler, {producer, max_demand: 10})
          pid
        end

      Enum.each(consumers, &:sys.get_state/1)
      for _ <- 1..5, do: :ok = library.stage.call(producer, {:emit, [1, 2]})
      Enum.each(consumers, &:sys.get_state/1)
      div(:erlang.memory(:processes) - before, n)
    end)
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

  defp memory do
    :erlang.garbage_collect()
    :erlang.memory(:total)
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
